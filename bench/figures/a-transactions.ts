/**
 * A, A2: what transactions of 100 changes cost, against parsing the same bytes. Beside A, what they
 * cost a server that does as little with them as can be.
 */

import type { Figure, Row } from '../lib/figure.ts';
import { cpuMsOf, mainThreadMsOf } from '../lib/process-usage.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { BareWriter } from '../limits/bare-writer.ts';
import type { ParseLimit } from '../limits/parse.ts';
import type { ApplyLoad } from '../load/apply.ts';

const CONNECTIONS = 8;
const IN_FLIGHT = 8;
const CHANGES = 100;
/** Each server of its own: what it costs differs by a quarter between processes, and stays so in each. */
const STARTS = 3;
const WARM_UPS = 2;
const ROUNDS = 4;

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

interface Rounds {
  cpuUs: number[];
  mainUs: number[];
  limitUs: number[];
  perSecond: number[];
}

interface Subject {
  pid: number;
  url: string;
}

async function measureStart(
  context: RunContext,
  { pid, url }: Subject,
  databaseIds: string[],
): Promise<Rounds> {
  const load = await context.program<ApplyLoad>('load/apply.ts');
  const limit = await context.program<ParseLimit>('limits/parse.ts');
  const messages = context.count(100, 2);
  const shape = { changes: CHANGES };
  await load.call('connect', { url, databaseIds, connections: CONNECTIONS });
  await limit.call('prepare', { shape, messages: messages * CONNECTIONS });
  const changes = messages * CONNECTIONS * CHANGES;
  const rounds: Rounds = { cpuUs: [], mainUs: [], limitUs: [], perSecond: [] };
  for (let i = 0; i < WARM_UPS + ROUNDS; i++) {
    await load.call('prepare', { shape, messages });
    const before = cpuMsOf(pid);
    const mainBefore = mainThreadMsOf(pid);
    const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
    const spentMs = cpuMsOf(pid) - before;
    const mainMs = mainThreadMsOf(pid) - mainBefore;
    const parseUs = await limit.call('run');
    if (i < WARM_UPS) continue;
    rounds.cpuUs.push((spentMs * 1000) / changes);
    rounds.mainUs.push((mainMs * 1000) / changes);
    rounds.perSecond.push(changes / (elapsedMs / 1000));
    rounds.limitUs.push(parseUs / CHANGES);
  }
  await context.stopAll();
  return rounds;
}

async function measure(
  context: RunContext,
  databaseIds: string[],
  start: () => Promise<Subject>,
): Promise<Omit<Row, 'figure' | 'what' | 'target'>> {
  const starts: Rounds[] = [];
  for (let i = 0; i < STARTS; i++) {
    starts.push(await measureStart(context, await start(), databaseIds));
  }
  const cpuUs = starts.flatMap((rounds) => rounds.cpuUs);
  const limitUs = starts.flatMap((rounds) => rounds.limitUs);
  const byStart = starts.map((rounds) => median(rounds.cpuUs));
  return {
    unit: 'µs',
    measured: median(cpuUs),
    limit: median(limitUs),
    limitOf: 'JSON.parse and decodeHlc of the same bytes',
    ratio: medianRatio(cpuUs, limitUs),
    details: {
      'changes/s': median(starts.flatMap((rounds) => rounds.perSecond)),
      'µs in the main thread': median(starts.flatMap((rounds) => rounds.mainUs)),
      'µs of the best process': Math.min(...byStart),
      'of the worst': Math.max(...byStart),
    },
  };
}

async function measureVariant(context: RunContext, variant: Variant): Promise<Row> {
  const { figure, what, databaseIds, atMost } = variant;
  const measurement = await measure(context, databaseIds, async () => {
    const { pid, wsUrl } = await context.server({ profileName: `${figure}.cpuprofile` });
    return { pid, url: wsUrl };
  });
  return { figure, what, ...measurement, target: { atMost } };
}

async function measureBare(context: RunContext): Promise<Row> {
  const measurement = await measure(context, OWN.databaseIds, async () => {
    const bare = await context.program<BareWriter>('limits/bare-writer.ts');
    return {
      pid: bare.pid,
      url: await bare.call('listen', { directory: context.newDirectory() }),
    };
  });
  const what = 'the same of a bare server that parses, writes and syncs them';
  return { figure: 'A bare', what, ...measurement, target: { better: 'less' } };
}

export const transactions: Figure = {
  letters: ['A'],
  name: 'transactions',
  run: async (context) => [await measureVariant(context, OWN), await measureBare(context)],
};

export const sharedTransactions: Figure = {
  letters: ['A2'],
  name: 'shared-transactions',
  run: async (context) => [await measureVariant(context, SHARED)],
};
