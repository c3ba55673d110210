/** K: from the command to the first answer about a database, when that is large and when it is small. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { bigStore, buildStore } from '../lib/build-store.ts';
import { allowance, type Figure } from '../lib/figure.ts';
import { TransactionMaker } from '../lib/messages.ts';
import type { RunContext } from '../lib/run-context.ts';
import { COMMAND } from '../lib/server-process.ts';
import { openSession, TYPE, typeOf } from '../lib/sockets.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ReadLoad } from '../load/read.ts';

const ROUNDS = 7;
const ALLOWED_MS = 1000;

interface Store {
  dataDir: string;
  databaseId: string;
}

/** The newest position, as a device knows it that has everything. */
async function positionOf(context: RunContext, { dataDir, databaseId }: Store): Promise<string> {
  const server = await context.server({ dataDir });
  const load = await context.program<ReadLoad>('load/read.ts');
  const { position = '' } = await load.call('read', {
    ...{ url: server.wsUrl, databaseId, ask: 'get_snapshot' },
  });
  await load.stop();
  await server.stop();
  return position;
}

/** Milliseconds until a device that comes back has been told that there is nothing new. */
async function startMs(
  context: RunContext,
  { dataDir, databaseId }: Store,
  sinceHLC: string,
): Promise<number> {
  const startedAt = performance.now();
  const server = await context.server({ dataDir });
  const socket = await openSession(server.wsUrl, new TransactionMaker().siteText, databaseId);
  socket.send(JSON.stringify({ type: 'get_changes', sinceHLC }));
  const [answer] = await once(socket, 'message');
  const elapsedMs = performance.now() - startedAt;
  if (typeOf(answer) !== TYPE.changes) throw new Error(`no changes: ${answer}`);
  socket.terminate();
  await server.stop();
  return elapsedMs;
}

/** What Node and loading the program take by themselves. */
function helpMs(): number {
  const startedAt = performance.now();
  spawnSync(process.execPath, [COMMAND, '--help']);
  return performance.now() - startedAt;
}

export const start: Figure = {
  letters: ['K'],
  name: 'start',
  async run(context) {
    const { dataDir, databases } = await bigStore(context);
    const big = { dataDir, databaseId: databases.at(-1)?.databaseId ?? '' };
    const plan = { databaseId: 'small', changes: 100, changesPerTransaction: 100 };
    const small = { dataDir: await buildStore(context, [plan]), databaseId: plan.databaseId };
    const bigPosition = await positionOf(context, big);
    const smallPosition = await positionOf(context, small);
    const figures = { big: [] as number[], small: [] as number[], help: [] as number[] };
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      const round = {
        big: await startMs(context, big, bigPosition),
        small: await startMs(context, small, smallPosition),
        help: helpMs(),
      };
      if (i === 0) continue;
      figures.big.push(round.big);
      figures.small.push(round.small);
      figures.help.push(round.help);
    }
    return [
      allowance({
        figure: 'K',
        what: 'start on 2,000,000 cells until the first answer',
        unit: 'ms',
        measured: median(figures.big),
        limit: ALLOWED_MS,
        details: { 'ms of --help': median(figures.help) },
      }),
      {
        figure: 'K size',
        what: 'the same, against a start on a small store',
        unit: 'ms',
        measured: median(figures.big),
        limit: median(figures.small),
        limitOf: '100 cells',
        ratio: medianRatio(figures.big, figures.small),
        target: { atMost: 1.25 },
      },
    ];
  },
};
