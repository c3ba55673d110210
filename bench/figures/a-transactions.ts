/** A, A2: what transactions of 100 changes cost, against parsing the same bytes. */

import type { Figure, Row } from '../lib/figure.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ParseLimit } from '../limits/parse.ts';
import type { ApplyLoad } from '../load/apply.ts';

const CONNECTIONS = 8;
const IN_FLIGHT = 8;
const CHANGES = 100;
const ROUNDS = 5;

interface Variant {
  figure: string;
  what: string;
  databaseIds: string[];
  atMost: number;
}

const OWN: Variant = {
  figure: 'A',
  what: 'transactions of 100 changes on 8 databases, CPU a change',
  databaseIds: Array.from({ length: CONNECTIONS }, (_, i) => `own-${i}`),
  atMost: 4,
};
const SHARED: Variant = {
  figure: 'A2',
  what: 'the same on one database, pushed to 7 others, CPU a change',
  databaseIds: ['shared'],
  atMost: 7,
};

async function measure(context: RunContext, variant: Variant): Promise<Row> {
  const server = await context.server({ profileName: `${variant.figure}.cpuprofile` });
  const load = await context.program<ApplyLoad>('load/apply.ts');
  const limit = await context.program<ParseLimit>('limits/parse.ts');
  const messages = context.count(125, 2);
  const shape = { changes: CHANGES };
  await load.call('connect', {
    url: server.wsUrl,
    databaseIds: variant.databaseIds,
    connections: CONNECTIONS,
  });
  await limit.call('prepare', { shape, messages: messages * CONNECTIONS });
  const changes = messages * CONNECTIONS * CHANGES;
  const cpuUs: number[] = [];
  const limitUs: number[] = [];
  const perSecond: number[] = [];
  // The first round warms up.
  for (let i = 0; i <= ROUNDS; i++) {
    await load.call('prepare', { shape, messages });
    const before = server.cpuMs();
    const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
    const spentMs = server.cpuMs() - before;
    const parseUs = await limit.call('run');
    if (i === 0) continue;
    cpuUs.push((spentMs * 1000) / changes);
    perSecond.push(changes / (elapsedMs / 1000));
    limitUs.push(parseUs / CHANGES);
  }
  await context.stopAll();
  return {
    figure: variant.figure,
    what: variant.what,
    unit: 'µs',
    measured: median(cpuUs),
    limit: median(limitUs),
    limitOf: 'JSON.parse and decodeHlc of the same bytes',
    ratio: medianRatio(cpuUs, limitUs),
    target: { atMost: variant.atMost },
    details: { 'changes/s': median(perSecond) },
  };
}

export const transactions: Figure = {
  letters: ['A'],
  name: 'transactions',
  run: async (context) => [await measure(context, OWN)],
};

export const sharedTransactions: Figure = {
  letters: ['A2'],
  name: 'shared-transactions',
  run: async (context) => [await measure(context, SHARED)],
};
