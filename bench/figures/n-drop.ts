/**
 * N: what others on a database notice of the drop of a large table that arrives late, so that
 * what is older than it has to be told from what is newer, and of the emptying that follows.
 */

import { BUILT_AGO_MS, buildStore } from '../lib/build-store.ts';
import { allowance, type Figure } from '../lib/figure.ts';
import { COLUMNS_PER_ROW } from '../lib/messages.ts';
import { growthWhile } from '../lib/process-usage.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ApplyFigures, ApplyLoad } from '../load/apply.ts';
import type { DdlLoad } from '../load/ddl.ts';

/** Each on a table, a database and a process of its own. */
const STARTS = 3;
const ROWS = 40_000;
/** Some seconds of one writer, within which the emptying is to be over. */
const WRITES = 6000;
const WRITES_LEAST = 2000;
const TABLE = 'tasks';
/** The drop is newer than the table, and older than the one write. */
const NEWER_AGO_MS = BUILT_AGO_MS / 3;
const DROP_AGO_MS = (BUILT_AGO_MS * 2) / 3;
const CREATE_AGO_MS = BUILT_AGO_MS / 6;
const MIB = 1024 * 1024;

interface Start {
  quiet: ApplyFigures;
  amid: ApplyFigures;
  dropMs: number;
  createMs: number;
  growth: { rss: number; own: number };
  quietGrowth: { rss: number };
}

async function write(load: Program<ApplyLoad>, messages: number): Promise<ApplyFigures> {
  await load.call('prepare', { shape: { changes: 1 }, messages });
  return load.call('run', { inFlight: 1 });
}

async function measureStart(
  context: RunContext,
  dataDir: string,
  databaseId: string,
): Promise<Start> {
  const server = await context.server({ dataDir, profileName: `N-${databaseId}.cpuprofile` });
  const target = { url: server.wsUrl, databaseIds: [databaseId], connections: 1 };
  const late = await context.program<ApplyLoad>('load/apply.ts');
  await late.call('connect', { ...target, table: TABLE, agoMs: NEWER_AGO_MS });
  await write(late, 1);
  await late.stop();
  const ddl = await context.program<DdlLoad>('load/ddl.ts');
  await ddl.call('connect', { url: server.wsUrl, databaseId });
  const writer = await context.program<ApplyLoad>('load/apply.ts');
  await writer.call('connect', { ...target, table: 'notes' });
  const writes = context.count(WRITES, WRITES_LEAST);
  // Warms up.
  await write(writer, WRITES_LEAST);
  const quiet = await growthWhile(server.pid, () => write(writer, writes));
  const amid = await growthWhile(server.pid, async () => {
    const writing = write(writer, writes);
    const dropMs = await ddl.call('apply', {
      ...{ transactions: [[{ type: 'drop_table', table: TABLE }]], agoMs: DROP_AGO_MS },
    });
    const createMs = await ddl.call('apply', {
      ...{ transactions: [[{ type: 'create_table', table: TABLE }]], agoMs: CREATE_AGO_MS },
    });
    return { figures: await writing, dropMs, createMs };
  });
  await context.stopAll();
  const { figures, dropMs, createMs } = amid.result;
  return {
    ...{ quiet: quiet.result, quietGrowth: quiet.growth },
    ...{ amid: figures, dropMs, createMs, growth: amid.growth },
  };
}

export const drop: Figure = {
  letters: ['N'],
  name: 'drop',
  async run(context) {
    const changes = context.count(ROWS) * COLUMNS_PER_ROW;
    const databaseIds = Array.from({ length: STARTS }, (_, i) => `table-${i + 1}`);
    const plans = databaseIds.map((databaseId) => ({
      ...{ databaseId, changes, changesPerTransaction: 100 },
    }));
    const dataDir = await buildStore(context, plans);
    const starts: Start[] = [];
    for (const databaseId of databaseIds) {
      starts.push(await measureStart(context, dataDir, databaseId));
    }
    const quiet = starts.map((start) => start.quiet.p99SteadyMs);
    const amid = starts.map((start) => start.amid.p99SteadyMs);
    return [
      {
        figure: 'N drop',
        what: 'a writer to another table while one of 400,000 cells is dropped, p99',
        unit: 'ms',
        measured: median(amid),
        limit: median(quiet),
        limitOf: 'before the drop',
        ratio: medianRatio(amid, quiet),
        target: { atMost: 2 },
        details: {
          'p50 ms': median(starts.map((start) => start.amid.p50Ms)),
          'p50 ms before': median(starts.map((start) => start.quiet.p50Ms)),
          'longest ms': Math.max(...starts.map((start) => start.amid.maxMs)),
          'longest ms before': Math.max(...starts.map((start) => start.quiet.maxMs)),
          'p99 ms of its own writes': median(starts.map((start) => start.amid.p99Ms)),
          'before that': median(starts.map((start) => start.quiet.p99Ms)),
          'ms until the drop is acknowledged': median(starts.map(({ dropMs }) => dropMs)),
          'until the table is made again': median(starts.map(({ createMs }) => createMs)),
          'seconds of writing': median(starts.map((start) => start.amid.elapsedMs)) / 1000,
        },
      },
      allowance({
        figure: 'N growth',
        what: 'resident memory meanwhile, at most',
        unit: 'MiB',
        measured: Math.max(...starts.map(({ growth }) => growth.rss)) / MIB,
        limit: 32,
        details: {
          'MiB without mapped files': Math.max(...starts.map(({ growth }) => growth.own)) / MIB,
          'median MiB': median(starts.map(({ growth }) => growth.rss)) / MIB,
          'MiB of as many writes before the drop':
            Math.max(...starts.map(({ quietGrowth }) => quietGrowth.rss)) / MIB,
        },
      }),
    ];
  },
};
