/** O: what the client takes for a bootstrap, against a bare parse of the same messages; writes and pushes. */

import { openPage } from '../client/browser.ts';
import { record } from '../client/record.ts';
import { buildStore } from '../lib/build-store.ts';
import { allowance, type Figure, type Row } from '../lib/figure.ts';
import { COLUMNS_PER_ROW } from '../lib/messages.ts';
import { median, medianRatio, percentile } from '../lib/statistics.ts';
import type { ClientLoad } from '../load/client.ts';

const CELLS = 100_000;
const ROUNDS = 7;
const WRITES = 20_000;
const WRITES_ALLOWED = 10_000;
const PUSHES = 1_000;
const PUSH_ALLOWED_MS = 1;

/** In turns, after one of each that warms up. */
async function bootstrapRow(
  figure: string,
  where: string,
  atMost: number,
  ask: (method: 'bootstrap' | 'parse') => Promise<number>,
): Promise<Row> {
  const [taken, bare]: [number[], number[]] = [[], []];
  for (let i = 0; i <= ROUNDS; i++) {
    const [bootstrapMs, parseMs] = [await ask('bootstrap'), await ask('parse')];
    if (i === 0) continue;
    taken.push(bootstrapMs);
    bare.push(parseMs);
  }
  return {
    figure,
    what: `bootstrap of 100,000 cells into ${where}`,
    unit: 'ms',
    measured: median(taken),
    limit: median(bare),
    limitOf: 'JSON.parse of the same messages',
    ratio: medianRatio(taken, bare),
    target: { atMost },
  };
}

export const client: Figure = {
  letters: ['O'],
  name: 'client',
  async run(context) {
    const changes = context.count(CELLS, COLUMNS_PER_ROW);
    const databaseId = 'cells';
    const plan = { databaseId, changes, changesPerTransaction: COLUMNS_PER_ROW };
    const server = await context.server({ dataDir: await buildStore(context, [plan]) });
    const recording = await record(server.wsUrl, databaseId);
    await server.stop();
    const inNode = await context.program<ClientLoad>('load/client.ts');
    await inNode.call('use', recording);
    const ask = await openPage(context, recording);
    const memory = await bootstrapRow('O memory', 'memory', 3, (method) => inNode.call(method));
    const indexedDb = await bootstrapRow('O IndexedDB', 'IndexedDB (Chromium)', 8, ask);
    const perSecond: number[] = [];
    for (let i = 0; i <= ROUNDS; i++) {
      perSecond.push(await inNode.call('write', { writes: context.count(WRITES, 100) }));
    }
    const writes = median(perSecond.slice(1));
    const rows = changes / COLUMNS_PER_ROW;
    const told = await inNode.call('push', { pushes: context.count(PUSHES, 100), rows });
    return [
      memory,
      indexedDb,
      {
        figure: 'O writes',
        what: 'local writes of one cell into memory, until all are stored',
        unit: '/s',
        measured: writes,
        limit: WRITES_ALLOWED,
        limitOf: 'asked for',
        ratio: writes / WRITES_ALLOWED,
        target: { atLeast: 1 },
      },
      allowance({
        figure: 'O push',
        what: 'from the message of a push until a subscriber is told, p99',
        unit: 'ms',
        measured: percentile(told, 0.99),
        limit: PUSH_ALLOWED_MS,
        details: { 'p50 ms': median(told) },
      }),
    ];
  },
};
