/** P: what compressing over WebSocket costs the server and spares the network, both ways. */

import { buildStore } from '../lib/build-store.ts';
import type { Figure, Row } from '../lib/figure.ts';
import type { RunContext } from '../lib/run-context.ts';
import type { ServerProcess } from '../lib/server-process.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ApplyLoad } from '../load/apply.ts';
import type { ReadLoad } from '../load/read.ts';

const ROUNDS = 9;
const CHANGES = 200_000;
const CHANGES_PER_TRANSACTION = 10;
const CONNECTIONS = 8;
const IN_FLIGHT = 8;

interface Side {
  perSecond: number[];
  cpuUs: number[];
  megabytes: number[];
}

const newSide = (): Side => ({ perSecond: [], cpuUs: [], megabytes: [] });

interface Named {
  figure: string;
  what: string;
}

function toRow({ figure, what }: Named, plain: Side, compressed: Side): Row {
  const bytes: Record<string, number> = {};
  if (compressed.megabytes.length > 0) {
    bytes['MB plain'] = median(plain.megabytes);
    bytes['MB compressed'] = median(compressed.megabytes);
  }
  return {
    figure,
    what,
    unit: '/s',
    measured: median(compressed.perSecond),
    limit: median(plain.perSecond),
    limitOf: 'the same uncompressed',
    ratio: medianRatio(compressed.perSecond, plain.perSecond),
    target: { better: 'more' },
    details: {
      ...bytes,
      'CPU µs plain': median(plain.cpuUs),
      'CPU µs compressed': median(compressed.cpuUs),
    },
  };
}

async function reading(
  context: RunContext,
  server: ServerProcess,
  asked: { databaseId: string; ask: 'get_changes' | 'get_snapshot'; lastTransaction: number },
) {
  const load = await context.program<ReadLoad>('load/read.ts');
  const sides = [newSide(), newSide()] as const;
  const changes = asked.lastTransaction * CHANGES_PER_TRANSACTION;
  for (let i = -1; i < ROUNDS; i++) {
    for (const [at, { perSecond, cpuUs, megabytes }] of sides.entries()) {
      const before = server.cpuMs();
      const result = await load.call('read', { url: server.wsUrl, ...asked, compressed: at === 1 });
      if (i < 0) continue;
      cpuUs.push(((server.cpuMs() - before) * 1000) / changes);
      perSecond.push(changes / (result.elapsedMs / 1000));
      megabytes.push(result.networkBytes / 1e6);
    }
  }
  await load.stop();
  return sides;
}

async function writing(context: RunContext, server: ServerProcess, changes: number) {
  const sides = [newSide(), newSide()] as const;
  const round = { shape: { changes }, messages: context.count(changes === 1 ? 2000 : 200, 10) };
  const transactions = round.messages * CONNECTIONS;
  const loads = [];
  for (const compressed of [false, true]) {
    const load = await context.program<ApplyLoad>('load/apply.ts');
    const databaseIds = Array.from(
      { length: CONNECTIONS },
      (_, i) => `of-${changes}-${compressed}-${i}`,
    );
    await load.call('connect', {
      url: server.wsUrl,
      databaseIds,
      connections: CONNECTIONS,
      compressed,
    });
    loads.push(load);
  }
  for (let i = -1; i < ROUNDS; i++) {
    for (const [at, load] of loads.entries()) {
      await load.call('prepare', round);
      const before = server.cpuMs();
      const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
      const side = sides[at];
      if (i < 0 || side === undefined) continue;
      side.cpuUs.push(((server.cpuMs() - before) * 1000) / transactions / changes);
      side.perSecond.push((transactions * changes) / (elapsedMs / 1000));
    }
  }
  for (const load of loads) await load.stop();
  return sides;
}

export const compression: Figure = {
  letters: ['P'],
  name: 'compression',
  async run(context) {
    const lastTransaction = context.count(CHANGES / CHANGES_PER_TRANSACTION);
    const changes = lastTransaction * CHANGES_PER_TRANSACTION;
    const plan = { databaseId: 'log', changes, changesPerTransaction: CHANGES_PER_TRANSACTION };
    const dataDir = await buildStore(context, [plan]);
    const server = await context.server({ dataDir, compresses: true });
    const asked = { databaseId: plan.databaseId, lastTransaction };
    const read = await reading(context, server, { ...asked, ask: 'get_changes' });
    const taken = await reading(context, server, { ...asked, ask: 'get_snapshot' });
    const one = await writing(context, server, 1);
    const hundred = await writing(context, server, 100);
    return [
      toRow({ figure: 'P', what: 'catch-up of 200,000 changes, compressed' }, ...read),
      toRow({ figure: 'P snapshot', what: 'a snapshot of them, compressed' }, ...taken),
      toRow(
        { figure: 'P one', what: 'transactions of one change from clients that compress' },
        ...one,
      ),
      toRow({ figure: 'P hundred', what: 'changes of those of 100' }, ...hundred),
    ];
  },
};
