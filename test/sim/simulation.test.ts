import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runs } from '../support/runs.ts';
import type { HooksMode } from './rules.ts';
import type { ClientsMode, HeldMode } from './simulation.ts';
import type { DdlMode } from './table-names.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));
const RUNS = runs(7);
const RUNS_WITH_FORGERS = runs(1);
const RUNS_WITHOUT_ROOM = runs(1);
const NODES = 3;
const RUNS_OF_NODES = runs(0.6);
const RUNS_OF_NODES_THAT_MOVE = runs(0.4);
const RUNS_OF_CLIENTS = runs(2);
const RUNS_OF_CLIENTS_WITH_DDL = runs(1);
const RUNS_OF_CLIENTS_WITH_MUCH_DDL = runs(1);
const RUNS_OF_SOME_CLIENTS = runs(1);

interface Batch {
  /** Several with commas between them; `runs` counts on from each. */
  seed: number | string;
  runs: number;
  nodes?: number;
  /** Who changes tables; without it that hangs on the seed. */
  ddl?: DdlMode;
  /** What hooks do; without it that hangs on the seed. */
  hooks?: HooksMode;
  /** How much is kept of what devices hold that was refused; without it that hangs on the seed. */
  held?: HeldMode;
  authors?: 'known';
  /** Which devices are the published client. */
  clients?: ClientsMode;
}

/** A process for each core, since simulations take the place of its timers and clock. */
const workers = new Map<number, ChildProcess>();
const WORKERS = availableParallelism();

after(() => {
  for (const worker of workers.values()) if (worker.connected) worker.disconnect();
});

/** @returns a new one where the last has ended: a seed that ends it fails alone */
function toWorker(number: number): ChildProcess {
  const last = workers.get(number);
  if (last?.connected) return last;
  const worker = fork(WORKER, { execArgv: ['--import', 'tsx'] });
  workers.set(number, worker);
  return worker;
}

async function simulate(batch: Batch, number = 0): Promise<unknown> {
  const worker = toWorker(number);
  const args = Object.entries(batch).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const signal = new AbortController();
  const answer = once(worker, 'message', signal);
  const end = once(worker, 'exit', signal).then(([code]) => [`it ended with ${code}`]);
  worker.send(args);
  const [output] = await Promise.race([answer, end]);
  signal.abort();
  await Promise.allSettled([answer, end]);
  return output;
}

/** One of the shorter ones, for what is simulated once in `npm test`. */
const SHORT_SEED = 2;

/** So many seeds, shared out among the processes, of which none goes on when another has failed. */
async function assertAllPass(
  count: number,
  options: Omit<Batch, 'seed' | 'runs'> = {},
  firstSeed = 1,
) {
  const share = Math.ceil(count / WORKERS);
  const outputs = await Promise.all(
    Array.from({ length: WORKERS }, async (_, i) => {
      const runs = Math.min(share, count - i * share);
      const seed = firstSeed + i * share;
      if (runs < 1) return [];
      return [await simulate({ seed, runs, ...options }, i), `${runs} passed, 0 failed`];
    }),
  );
  const ran = outputs.filter((output) => output.length > 0);
  assert.deepEqual(
    ran.map(([said]) => said),
    ran.map(([, wanted]) => wanted),
  );
}

test(`${RUNS} simulations: nothing acknowledged is lost, and everybody ends up with the same`, () =>
  assertAllPass(RUNS));

test(`${RUNS_OF_NODES} simulations of several coordinators on one store: the same`, () =>
  assertAllPass(RUNS_OF_NODES, { nodes: NODES }, SHORT_SEED));

test(`${RUNS_OF_NODES_THAT_MOVE} simulations of several coordinators whose hooks rewrite and move changes: the same`, () =>
  assertAllPass(
    RUNS_OF_NODES_THAT_MOVE,
    { nodes: NODES, hooks: 'move', authors: 'known' },
    SHORT_SEED,
  ));

test(`${RUNS_WITH_FORGERS} simulations in which devices write in the names of others: nobody sees it`, () =>
  assertAllPass(RUNS_WITH_FORGERS, { authors: 'known' }, SHORT_SEED));

test(`${RUNS_WITHOUT_ROOM} simulations in which whoever is refused has to start over: the same`, () =>
  assertAllPass(RUNS_WITHOUT_ROOM, { hooks: 'move', held: 'none' }, SHORT_SEED));

test(`${RUNS_OF_CLIENTS} simulations of the published client, ended at any moment: no write vanishes`, () =>
  assertAllPass(RUNS_OF_CLIENTS, { clients: 'sdk' }));

test(`${RUNS_OF_CLIENTS_WITH_DDL} simulations of it whose tables come and go: the same`, () =>
  assertAllPass(RUNS_OF_CLIENTS_WITH_DDL, { clients: 'sdk', ddl: 'one' }));

test(`${RUNS_OF_CLIENTS_WITH_MUCH_DDL} simulations of it in which all change tables at once: the same`, () =>
  assertAllPass(RUNS_OF_CLIENTS_WITH_MUCH_DDL, { clients: 'sdk', ddl: 'many' }));

test(`${RUNS_OF_SOME_CLIENTS} simulations of it among devices of before: the same`, () =>
  assertAllPass(RUNS_OF_SOME_CLIENTS, { clients: 'mixed' }));

test('what devices of before do not promise is not asked of them', async () => {
  const output = await simulate({ seed: 1, runs: 1, ddl: 'many' });
  assert.match(String(output), /^RangeError: --ddl many is for --clients sdk/);
});

test('a device that has to start over was told so before the answer, or not at all by another coordinator', async () => {
  const batch = {
    seed: '20,2',
    runs: 1,
    nodes: NODES,
    ddl: 'none',
    hooks: 'move',
    held: 'none',
  } as const;
  assert.equal(await simulate(batch), '2 passed, 0 failed');
});

/** Seeds that found something, and still do when it is put back. */
const SEEDS_BY_FINDING: Record<string, number[]> = {
  'an edit from before a deletion that has expired: its author was never told of the deletion': [
    2, 6, 9,
  ],
  'an edit from before a deletion that a snapshot leaves out, since the row lives again': [
    9, 14, 16,
  ],
  'a change that is refused once more, after a snapshot that left out how it was answered before': [
    205,
  ],
  'expired tombstones had forgotten their rows, and older edits brought them back': [2, 5, 6],
};

for (const [finding, seeds] of Object.entries(SEEDS_BY_FINDING)) {
  test(finding, async () => {
    const some = seeds.slice(0, runs(1));
    const batch = {
      seed: some.join(),
      runs: 1,
      ddl: 'none',
      hooks: 'refuse',
      held: 'all',
    } as const;
    assert.equal(await simulate(batch), `${some.length} passed, 0 failed`);
  });
}
