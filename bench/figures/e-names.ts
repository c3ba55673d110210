/** E names: the same catch-up where many tables have come and gone, against where none has. */

import { BUILT_AGO_MS, insert } from '../lib/build-store.ts';
import type { Figure } from '../lib/figure.ts';
import type { Ddl } from '../lib/messages.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ApplyLoad } from '../load/apply.ts';
import type { DdlLoad } from '../load/ddl.ts';
import type { Reading, ReadLoad } from '../load/read.ts';

const ROUNDS = 9;
const TURN_MS = 500;
const CHANGES = 200_000;
const CHANGES_PER_TRANSACTION = 10;
/** Not scaled: what they cost a change doesn't depend on how many changes there are. */
const NAMES = 2000;
const HOUR_MS = 3_600_000;

/** When tables were dropped: never, before the changes, and one of them once more after these. */
const VARIANTS = ['none', 'before', 'after'] as const;
type Variant = (typeof VARIANTS)[number];

function comeAndGone(table: string): Ddl[] {
  return [
    { type: 'create_table', table },
    { type: 'drop_table', table },
  ];
}

/** @returns what is to be read of each database: the changes, and not the DDL before them */
async function build(context: RunContext, transactions: number) {
  const server = await context.server();
  const url = server.wsUrl;
  const load = await context.program<ApplyLoad>('load/apply.ts');
  const ddl = await context.program<DdlLoad>('load/ddl.ts');
  const reader = await context.program<ReadLoad>('load/read.ts');
  const readings = [];
  for (const databaseId of VARIANTS) {
    const names = databaseId === 'none' ? 0 : NAMES;
    const tables = Array.from({ length: names }, (_, i) => comeAndGone(`gone_${i}`));
    await ddl.call('connect', { url, databaseId });
    await ddl.call('apply', { transactions: tables, agoMs: BUILT_AGO_MS + HOUR_MS });
    const { position: sinceHLC } = await reader.call('read', {
      ...{ url, databaseId, ask: 'get_snapshot' },
    });
    const target = { url, databaseIds: [databaseId], connections: 1, agoMs: BUILT_AGO_MS };
    await load.call('connect', target);
    const shape = { changesPerTransaction: CHANGES_PER_TRANSACTION };
    await insert(load, { ...shape, changes: (transactions - 1) * CHANGES_PER_TRANSACTION });
    if (databaseId === 'after') {
      await ddl.call('apply', { transactions: [comeAndGone('gone_0')], agoMs: 0 });
    }
    // The reader knows the end by this one.
    await insert(load, { ...shape, changes: CHANGES_PER_TRANSACTION });
    readings.push({
      ...({ databaseId, ask: 'get_changes', sinceHLC, lastTransaction: transactions } as const),
    });
  }
  await context.stopAll();
  return { dataDir: server.dataDir, readings };
}

/** One reading may be short: it is repeated for a while, and the mean is taken. */
async function readMs(load: Program<ReadLoad>, reading: Reading): Promise<number> {
  let [readings, totalMs] = [0, 0];
  do {
    totalMs += (await load.call('read', reading)).elapsedMs;
    readings++;
  } while (totalMs < TURN_MS);
  return totalMs / readings;
}

export const names: Figure = {
  letters: ['E'],
  name: 'names',
  async run(context) {
    const transactions = context.count(CHANGES / CHANGES_PER_TRANSACTION, 2);
    const changes = transactions * CHANGES_PER_TRANSACTION;
    const { dataDir, readings } = await build(context, transactions);
    const server = await context.server({ dataDir, profileName: 'E-names.cpuprofile' });
    const load = await context.program<ReadLoad>('load/read.ts');
    const usEach: Record<Variant, number[]> = { none: [], before: [], after: [] };
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      // What one leaves behind befalls another each time.
      for (const reading of i % 2 === 0 ? readings : readings.toReversed()) {
        const elapsedMs = await readMs(load, { url: server.wsUrl, ...reading });
        if (i > 0) usEach[reading.databaseId].push((elapsedMs * 1000) / changes);
      }
    }
    return [
      {
        figure: 'E names',
        what: 'time a change of catching up, where 2,000 tables were dropped',
        unit: 'µs',
        measured: median(usEach.after),
        limit: median(usEach.none),
        limitOf: 'where none was',
        ratio: medianRatio(usEach.after, usEach.none),
        target: { atMost: 1.2 },
        details: {
          'µs where all were dropped before the changes': median(usEach.before),
          'ratio there': medianRatio(usEach.before, usEach.none),
        },
      },
    ];
  },
};
