/**
 * J: what a change costs as a database grows, and as more databases are open: applied (CPU), alone
 * (latency), and read (CPU). It may grow as the logarithm does.
 */

import { bigStore, copyStore } from '../lib/build-store.ts';
import type { Figure, Row } from '../lib/figure.ts';
import type { TransactionShape } from '../lib/messages.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import type { ServerProcess } from '../lib/server-process.ts';
import { mean, median } from '../lib/statistics.ts';
import type { ApplyLoad } from '../load/apply.ts';
import type { IdleLoad } from '../load/idle.ts';
import type { ReadLoad } from '../load/read.ts';

const CHANGES = 100;
const IN_FLIGHT = 32;
const ROUNDS = 3;
/** LevelDB writes its buffer out and merges it in some of them, in others it doesn't. */
const APPLY_ROUNDS = 8;
/** Short readings are repeated until so many changes have been read. */
const CHANGES_READ = 600_000;
/** As 10 times the data may: log(100 n) / log(n) of 20,000 cells. */
const LOG_GROWTH = Math.log(2_000_000) / Math.log(20_000);
const OPEN_DATABASES = [1, 100, 1000];

interface Costs {
  applyUs: number[];
  latencyMs: number[];
  readUs: number[];
}

const noCosts = (): Costs => ({ applyUs: [], latencyMs: [], readUs: [] });

interface Subject {
  server: ServerProcess;
  databaseId: string;
  load: Program<ApplyLoad>;
  shape: TransactionShape;
}

async function subject(
  context: RunContext,
  server: ServerProcess,
  databaseId: string,
  updateRows?: number,
): Promise<Subject> {
  const load = await context.program<ApplyLoad>('load/apply.ts');
  await load.call('connect', { url: server.wsUrl, databaseIds: [databaseId], connections: 1 });
  return { server, databaseId, load, shape: { changes: CHANGES, updateRows } };
}

async function applyUs(context: RunContext, { server, load, shape }: Subject): Promise<number> {
  const messages = context.count(400, 10);
  await load.call('prepare', { shape, messages });
  const before = server.cpuMs();
  await load.call('run', { inFlight: IN_FLIGHT });
  return ((server.cpuMs() - before) * 1000) / (messages * CHANGES);
}

async function latencyMs(context: RunContext, { load, shape }: Subject): Promise<number> {
  await load.call('prepare', {
    ...{ shape: { ...shape, changes: 1 }, messages: context.count(500, 20) },
  });
  return (await load.call('run', { inFlight: 1 })).p50Ms;
}

async function readUs(
  context: RunContext,
  reader: Program<ReadLoad>,
  { server, databaseId }: Subject,
  transactions: number,
): Promise<number> {
  const changes = transactions * CHANGES;
  const times = Math.ceil(context.count(CHANGES_READ) / changes);
  const before = server.cpuMs();
  for (let i = 0; i < times; i++) {
    await reader.call('read', {
      ...{ url: server.wsUrl, databaseId, ask: 'get_changes', lastTransaction: transactions },
    });
  }
  return ((server.cpuMs() - before) * 1000) / (changes * times);
}

async function byData(context: RunContext): Promise<Costs[]> {
  const { dataDir, databases } = await bigStore(context);
  const server = await context.server({ dataDir: copyStore(context, dataDir) });
  const reader = await context.program<ReadLoad>('load/read.ts');
  const sizes = [];
  for (const { databaseId, rows, transactions } of databases) {
    const one = await subject(context, server, databaseId, rows);
    sizes.push({ one, transactions, costs: noCosts() });
  }
  // Reading comes first: then the logs hold what they were built with. The first rounds warm up.
  for (let i = 0; i <= ROUNDS; i++) {
    for (const { one, transactions, costs } of sizes) {
      const cost = await readUs(context, reader, one, transactions);
      if (i > 0) costs.readUs.push(cost);
    }
  }
  for (let i = 0; i <= APPLY_ROUNDS; i++) {
    for (const { one, costs } of sizes) {
      const [apply, latency] = [await applyUs(context, one), await latencyMs(context, one)];
      if (i === 0) continue;
      costs.applyUs.push(apply);
      costs.latencyMs.push(latency);
    }
  }
  await context.stopAll();
  return sizes.map(({ costs }) => costs);
}

/** Each number has a database of its own to measure in, opened after all others. */
async function byOpenDatabases(context: RunContext): Promise<Costs[]> {
  const server = await context.server();
  const reader = await context.program<ReadLoad>('load/read.ts');
  const idle = await context.program<IdleLoad>('load/idle.ts');
  const warmUp = await subject(context, server, 'warm-up');
  for (let i = 0; i < 2; i++) await applyUs(context, warmUp);
  let open = 1;
  const all: Costs[] = [];
  for (const [level, wanted] of OPEN_DATABASES.entries()) {
    // Beside the warm-up's and those that were measured in.
    const sessions = Math.max(0, wanted - open - 1);
    const databasePrefix = `open-${level}-`;
    await idle.call('connect', { url: server.wsUrl, databasePrefix, sessions });
    open += sessions + 1;
    const one = await subject(context, server, `measured-${wanted}`);
    const costs = noCosts();
    for (let i = 0; i <= APPLY_ROUNDS; i++) {
      const apply = await applyUs(context, one);
      if (i > 0) costs.applyUs.push(apply);
    }
    // All that has been applied to it so far.
    const transactions = context.count(400, 10) * (APPLY_ROUNDS + 1);
    for (let i = 0; i < ROUNDS; i++) {
      costs.readUs.push(await readUs(context, reader, one, transactions));
    }
    for (let i = 0; i < ROUNDS; i++) costs.latencyMs.push(await latencyMs(context, one));
    all.push(costs);
  }
  await context.stopAll();
  return all;
}

const KINDS = [
  { key: 'applyUs', what: 'CPU a change applied', unit: 'µs', middle: mean },
  { key: 'latencyMs', what: 'latency of one change', unit: 'ms', middle: median },
  { key: 'readUs', what: 'CPU a change read', unit: 'µs', middle: median },
] as const;

function rowsOf(id: string, of: string, labels: readonly string[], curve: Costs[]): Row[] {
  return KINDS.map(({ key, what, unit, middle }, i) => {
    const points = curve.map((costs) => middle(costs[key]));
    const [least = Number.NaN] = points;
    const most = points.at(-1) ?? Number.NaN;
    return {
      figure: `J ${id} ${['A', 'C', 'E'][i]}`,
      what: `${what}, ${of}`,
      unit,
      measured: most,
      limit: least,
      limitOf: labels[0] ?? '',
      ratio: most / least,
      target: { atMost: LOG_GROWTH },
      details: Object.fromEntries(points.map((point, n) => [`${labels[n]}:`, point])),
    };
  });
}

export const growth: Figure = {
  letters: ['J'],
  name: 'growth',
  async run(context) {
    const cells = ['20,000 cells', '200,000', '2,000,000'];
    const open = OPEN_DATABASES.map((count) => `${count} open`);
    return [
      ...rowsOf('data', 'of 2,000,000 cells', cells, await byData(context)),
      ...rowsOf('open', 'with 1,000 databases open', open, await byOpenDatabases(context)),
    ];
  },
};
