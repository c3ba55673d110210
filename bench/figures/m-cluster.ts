/** M: one, two and four coordinators on one PostgreSQL, against bare statements of the same shape. */

import { startPostgres } from '../../test/support/postgres.ts';
import type { Figure, Row } from '../lib/figure.ts';
import { childrenCpuMsOf } from '../lib/process-usage.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import type { ServerProcess } from '../lib/server-process.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { PostgresLimit } from '../limits/postgres.ts';
import type { ApplyLoad } from '../load/apply.ts';
import type { FanOutLoad } from '../load/fan-out.ts';

const NODES = [1, 2, 4];
const CONNECTIONS = 8;
const IN_FLIGHT = 8;
/** A row each. */
const CHANGES = 10;
/** Rounds in which the nodes that do least get warm, too. */
const WARM_UPS = 5;
const ROUNDS = 4;
const SCHEMA = 'bench';
const LISTENERS = 20;
const PER_SECOND = 50;
/** What two nodes may cost a change to give 1.6 times the changes of one where there are the cores. */
const COST_OF_TWO = 2 / 1.6;

interface Cluster {
  context: RunContext;
  servers: readonly ServerProcess[];
  limit: Program<PostgresLimit>;
  postmaster: number;
}

async function startCluster(context: RunContext): Promise<Cluster> {
  const postgres = await startPostgres();
  context.onStop(() => postgres.stop());
  const servers: ServerProcess[] = [];
  while (servers.length < Math.max(...NODES)) {
    const profileName = `M-${servers.length + 1}.cpuprofile`;
    const storageUrl = postgres.url({ schema: SCHEMA });
    servers.push(await context.server({ storageUrl, profileName }));
  }
  const limit = await context.program<PostgresLimit>('limits/postgres.ts');
  const url = postgres.url();
  const postmaster = await limit.call('connect', { url, databases: CONNECTIONS });
  return { context, servers, limit, postmaster };
}

/** All of them together. */
interface Rates {
  perSecond: number[];
  limitPerSecond: number[];
  /** CPU a change, of the coordinators. */
  cpuUs: number[];
  /** Of PostgreSQL. */
  postgresUs: number[];
  perCommit: number[];
  walBytes: number[];
  storedBytes: number[];
}

/** Devices of so many databases, whose connections are spread over so many of the nodes. */
interface Load {
  nodes: number;
  program: Program<ApplyLoad>;
  rates: Rates;
}

async function startLoad(
  context: RunContext,
  servers: readonly ServerProcess[],
  databases: number,
): Promise<Load> {
  const program = await context.program<ApplyLoad>('load/apply.ts');
  const nodes = servers.length;
  const [url = '', ...otherUrls] = servers.map(({ wsUrl }) => wsUrl);
  const databaseIds = Array.from({ length: databases }, (_, i) => `${databases}-${nodes}-${i}`);
  await program.call('connect', { url, otherUrls, databaseIds, connections: CONNECTIONS });
  const rates: Rates = {
    ...{ perSecond: [], limitPerSecond: [], cpuUs: [], postgresUs: [] },
    ...{ perCommit: [], walBytes: [], storedBytes: [] },
  };
  return { nodes, program, rates };
}

/** @param databases that are written to, each by as many devices */
async function apply(cluster: Cluster, databases: number): Promise<Load[]> {
  const { context, limit, postmaster, servers } = cluster;
  const messages = context.count(250, 10);
  const transactions = messages * CONNECTIONS;
  const changes = transactions * CHANGES;
  const spent = () => servers.reduce((sum, server) => sum + server.cpuMs(), 0);
  const loads: Load[] = [];
  for (const nodes of NODES) {
    loads.push(await startLoad(context, servers.slice(0, nodes), databases));
  }
  for (let i = 0; i < WARM_UPS + ROUNDS; i++) {
    for (const { program, rates } of loads) {
      await program.call('prepare', { shape: { changes: CHANGES }, messages });
      const before = { cpu: spent(), postgres: childrenCpuMsOf(postmaster) };
      const usedBefore = await limit.call('usage', SCHEMA);
      const { elapsedMs } = await program.call('run', { inFlight: IN_FLIGHT });
      const cpuMs = spent() - before.cpu;
      const postgresMs = childrenCpuMsOf(postmaster) - before.postgres;
      const used = await limit.call('usage', SCHEMA);
      const perCommit = transactions / (used.commits - usedBefore.commits);
      const bare = await limit.call('run', {
        databases,
        transactions: transactions / databases,
        perGroup: Math.max(1, Math.round(perCommit)),
      });
      if (i < WARM_UPS) continue;
      rates.perSecond.push(changes / (elapsedMs / 1000));
      rates.limitPerSecond.push(changes / (bare.elapsedMs / 1000));
      rates.cpuUs.push((cpuMs * 1000) / changes);
      rates.postgresUs.push((postgresMs * 1000) / changes);
      rates.perCommit.push(perCommit);
      rates.walBytes.push((used.wal - usedBefore.wal) / changes);
      rates.storedBytes.push((used.stored - usedBefore.stored) / changes);
    }
  }
  for (const { program } of loads) await program.stop();
  return loads;
}

function rateRow({ nodes, rates }: Load, databases: number): Row {
  const where = `${databases} database${databases === 1 ? '' : 's'}`;
  return {
    figure: `M ${databases === 1 ? 'one' : 'many'} ${nodes}`,
    what: `${where}, ${nodes} node${nodes === 1 ? '' : 's'}: changes acknowledged`,
    unit: '/s',
    measured: median(rates.perSecond),
    limit: median(rates.limitPerSecond),
    limitOf: 'bare statements',
    ratio: medianRatio(rates.perSecond, rates.limitPerSecond),
    target: { better: 'more' },
    details: {
      'CPU µs a change': median(rates.cpuUs),
      'CPU µs of PostgreSQL': median(rates.postgresUs),
      'transactions a commit': median(rates.perCommit),
      'bytes of WAL a change': median(rates.walBytes),
      'bytes stored a change': median(rates.storedBytes),
    },
  };
}

function costRow([one, two]: readonly Load[]): Row {
  const [ofOne, ofTwo] = [one?.rates.cpuUs ?? [], two?.rates.cpuUs ?? []];
  return {
    figure: 'M cost',
    what: 'CPU of two nodes a change, 8 databases',
    unit: 'µs',
    measured: median(ofTwo),
    limit: median(ofOne),
    limitOf: 'one node',
    ratio: medianRatio(ofTwo, ofOne),
    target: { atMost: COST_OF_TWO },
  };
}

async function push({ context, servers }: Cluster): Promise<Row> {
  const [one, other] = servers;
  if (one === undefined || other === undefined) throw new Error('two nodes are needed');
  const listeners = context.count(LISTENERS, 5);
  const toSame = await context.program<FanOutLoad>('load/fan-out.ts');
  const toOther = await context.program<FanOutLoad>('load/fan-out.ts');
  await toSame.call('connect', { url: one.wsUrl, databaseId: 'same', listeners });
  const across = { url: other.wsUrl, writerUrl: one.wsUrl };
  await toOther.call('connect', { ...across, databaseId: 'other', listeners });
  const pace = { perSecond: PER_SECOND, transactions: context.count(150, 20) };
  const same = { p50: [] as number[], p99: [] as number[] };
  const crossing = { p50: [] as number[], p99: [] as number[] };
  // The first round warms up.
  for (let i = 0; i <= ROUNDS; i++) {
    for (const [load, latencies] of [
      [toSame, same],
      [toOther, crossing],
    ] as const) {
      const { p50Ms, p99Ms } = await load.call('paced', pace);
      if (i === 0) continue;
      latencies.p50.push(p50Ms);
      latencies.p99.push(p99Ms);
    }
  }
  return {
    figure: 'M push',
    what: `a push to ${listeners} listeners at another node, p99`,
    unit: 'ms',
    measured: median(crossing.p99),
    limit: median(same.p99),
    limitOf: 'the same at the same node',
    ratio: medianRatio(crossing.p99, same.p99),
    target: { atMost: 3 },
    details: { 'p50 ms': median(crossing.p50), 'p50 ms at the same node': median(same.p50) },
  };
}

export const cluster: Figure = {
  letters: ['M'],
  name: 'cluster',
  async run(context) {
    const started = await startCluster(context);
    const many = await apply(started, CONNECTIONS);
    const single = await apply(started, 1);
    return [
      ...many.map((load) => rateRow(load, CONNECTIONS)),
      ...single.map((load) => rateRow(load, 1)),
      costRow(many),
      await push(started),
    ];
  },
};
