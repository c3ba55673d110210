/**
 * L: applying with five no-op hooks of each kind against applying without any; and what it costs that a
 * module has batches judged and stored one after the other.
 */

import { fileURLToPath } from 'node:url';
import type { Figure, Row } from '../lib/figure.ts';
import type { RunContext } from '../lib/run-context.ts';
import { mean } from '../lib/statistics.ts';
import type { ApplyLoad, ApplyRound } from '../load/apply.ts';

/** Each with servers of their own: processes differ in what they cost, by more than hooks do. */
const STARTS = 3;
/** V8 takes longer to compile the more there is. */
const WARM_UPS = 5;
/** LevelDB merges in some of them, in others it doesn't: so many, and the mean. */
const ROUNDS = 6;
const CONNECTIONS = 8;
const IN_FLIGHT = 8;

/** What is compared: those without any hooks first. */
const CONTENDERS = [
  { id: '', name: '', module: undefined, count: 0 },
  { id: '', name: 'five no-op hooks of each kind', module: 'no-op.mjs', count: 5 },
  {
    id: ' async',
    name: 'five async no-op hooks of each kind',
    module: 'no-op-async.mjs',
    count: 5,
  },
  { id: ' serial', name: 'one validator that is serial', module: 'serial.mjs', count: 1 },
] as const;

type Contender = (typeof CONTENDERS)[number];

interface Costs {
  cpuUs: number[];
  perSecond: number[];
}

async function start(context: RunContext, { module, count }: Contender) {
  const path = module && fileURLToPath(new URL(`../hooks/${module}`, import.meta.url));
  const hooks = path === undefined ? [] : Array.from({ length: count }, () => path);
  const profileName = `L-${module ?? 'none'}.cpuprofile`;
  const server = await context.server({ hooks, profileName });
  const load = await context.program<ApplyLoad>('load/apply.ts');
  const databaseIds = Array.from({ length: CONNECTIONS }, (_, i) => `own-${i}`);
  await load.call('connect', { url: server.wsUrl, databaseIds, connections: CONNECTIONS });
  return { server, load };
}

async function measureStart(
  context: RunContext,
  round: ApplyRound,
  costs: readonly Costs[],
): Promise<void> {
  const changes = round.messages * CONNECTIONS * round.shape.changes;
  const sides: (Awaited<ReturnType<typeof start>> & Costs)[] = [];
  for (const [i, contender] of CONTENDERS.entries()) {
    const { cpuUs = [], perSecond = [] } = costs[i] ?? {};
    sides.push({ ...(await start(context, contender)), cpuUs, perSecond });
  }
  for (let i = 0; i < WARM_UPS + ROUNDS; i++) {
    // Each is the first as often as the others.
    const turn = i % sides.length;
    for (const side of [...sides.slice(turn), ...sides.slice(0, turn)]) {
      await side.load.call('prepare', round);
      const before = side.server.cpuMs();
      const { elapsedMs } = await side.load.call('run', { inFlight: IN_FLIGHT });
      if (i < WARM_UPS) continue;
      side.cpuUs.push(((side.server.cpuMs() - before) * 1000) / changes);
      side.perSecond.push(changes / (elapsedMs / 1000));
    }
  }
  await context.stopAll();
}

async function compare(context: RunContext, id: string, round: ApplyRound): Promise<Row[]> {
  const costs = CONTENDERS.map((): Costs => ({ cpuUs: [], perSecond: [] }));
  for (let i = 0; i < STARTS; i++) await measureStart(context, round, costs);
  const [none, ...hooked] = costs;
  const what = round.shape.changes === 1 ? '1 change' : `${round.shape.changes} changes`;
  return hooked.map(({ cpuUs, perSecond }, i) => ({
    figure: `L ${id}${CONTENDERS[i + 1]?.id ?? ''}`,
    what: `transactions of ${what} with ${CONTENDERS[i + 1]?.name}, CPU a change`,
    unit: 'µs',
    measured: mean(cpuUs),
    limit: mean(none?.cpuUs ?? []),
    limitOf: 'no hooks',
    // How much of the speed is left. Not by the round: no two processes belong together.
    ratio: mean(none?.cpuUs ?? []) / mean(cpuUs),
    // What is serial gives up the company of others in the store's transactions, by its nature.
    target: CONTENDERS[i + 1]?.id === ' serial' ? { better: 'more' } : { atLeast: 0.95 },
    details: {
      'of the throughput without': mean(perSecond) / mean(none?.perSecond ?? []),
    },
  }));
}

export const hooks: Figure = {
  letters: ['L'],
  name: 'hooks',
  async run(context) {
    const large = { shape: { changes: 100 }, messages: context.count(75, 2) };
    const single = { shape: { changes: 1 }, messages: context.count(1000, 10) };
    return [...(await compare(context, '100', large)), ...(await compare(context, '1', single))];
  },
};
