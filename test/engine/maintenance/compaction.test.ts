import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { SyncManager } from '../../../src/engine/sync-manager.ts';
import { createLevelStorage } from '../../../src/storage/leveldb/leveldb.ts';
import { Device, type RowWrite } from '../../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';
import { runs } from '../../support/runs.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const write: fc.Arbitrary<RowWrite> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      pk: fc.constantFrom<unknown[]>([1], [2], [3]),
      set: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer(), { minKeys: 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      pk: fc.constantFrom<unknown[]>([1], [2], [3]),
      delete: fc.constant(true as const),
    }),
  },
);
type Step =
  | { do: 'write'; device: number; writes: RowWrite[]; late: boolean }
  | { do: 'compact' }
  | { do: 'expire' };
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        device: fc.integer({ min: 0, max: 2 }),
        writes: fc.array(write, { minLength: 1, maxLength: 3 }),
        late: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('compact' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  ),
  { minLength: 1, maxLength: 25 },
);

/** What somebody holds who had everything up to a position, when they come back. */
interface Reader {
  replica: Replica;
  position: string | undefined;
}

async function contentsOfSnapshot(manager: SyncManager) {
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  return replica.contents();
}

test('whoever comes back finds what a snapshot gives, however often the log was shortened', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history: Step[]) => {
      const { manager, world } = await openEngine({ tombstoneTTL: DAY_MS });
      const devices = [1, 2, 3].map((number) => new Device(number));
      const readers: Reader[] = [{ replica: new Replica(), position: undefined }];
      const delayed: ReturnType<Device['write']>[] = [];
      for (const step of history) {
        if (step.do === 'compact') await manager.maintain({ thorough: true });
        else if (step.do === 'expire') {
          world.nowMs += 2 * DAY_MS;
          await manager.maintain({ thorough: true });
        } else {
          const changeSet = devices[step.device]?.write(...step.writes);
          if (changeSet === undefined) throw new Error('no such device');
          if (step.late) delayed.push(changeSet);
          else await manager.apply([changeSet]);
        }
        const replica = new Replica();
        const changeSets = await readAll(manager);
        replica.apply(changeSets);
        assert.deepEqual(replica.contents(), await contentsOfSnapshot(manager), 'from nothing');
        readers.push({ replica, position: changeSets.at(-1)?.hlc });
      }
      await manager.apply(delayed);
      await manager.maintain({ thorough: true });
      const expected = await contentsOfSnapshot(manager);
      for (const { replica, position } of readers) {
        const changeSets = await readAll(manager, position).catch((error) => {
          assert.equal(error.code, 'SNAPSHOT_REQUIRED');
        });
        if (changeSets === undefined) continue;
        replica.apply(changeSets);
        assert.deepEqual(replica.contents(), expected, `from ${position}`);
      }
    }),
    { numRuns: runs(10) },
  );
});

test('what was replaced leaves the log, and what holds stays, byte for byte', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const kept = device.write({ pk: [1], set: { a: 0, 'b\u0000"': { __bin: 'AA==' } } });
  await manager.apply([kept]);
  const before = await readAll(manager);
  for (let i = 1; i <= 300; i++) await manager.apply([device.write({ pk: [1], set: { a: i } })]);
  assert.deepEqual(manager.logChanges, { logged: 302, replaced: 300 });
  const done = await manager.maintain();
  assert.equal(done.changesCompacted, 300);
  assert.deepEqual(manager.logChanges, { logged: 2, replaced: 0 });
  assert.equal(manager.logLength, 2);
  const [first, last, ...more] = await readAll(manager);
  assert.deepEqual(more, []);
  assert.deepEqual(first, { ...before[0], changes: before[0]?.changes.slice(1) });
  assert.deepEqual(
    last?.changes.map((change) => change.type === 'column' && change.value),
    [300],
  );
  assert.equal(last?.hlc, manager.position);
});

test('a log of which little was replaced is left alone', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  for (let i = 0; i < 50; i++) await manager.apply([device.write({ pk: [1], set: { a: i } })]);
  assert.equal((await manager.maintain()).changesCompacted, 0);
  assert.equal(manager.logLength, 50);
});

test('what somebody has yet to read stays as it is', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  for (let i = 0; i < 10; i++) await manager.apply([device.write({ pk: [1], set: { a: i } })]);
  const read = manager.position;
  for (let i = 0; i < 10; i++) await manager.apply([device.write({ pk: [1], set: { a: i } })]);
  await manager.maintain({ thorough: true, keepAfter: read });
  assert.equal((await readAll(manager)).length, 10);
  assert.equal((await readAll(manager, read)).length, 10);
});

test('a write that comes while the log is shortened is neither held up by it nor lost', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  for (let i = 0; i < 1000; i++)
    await manager.apply([device.write({ pk: [i % 7], set: { a: i } })]);
  let ended = false;
  const maintained = manager.maintain({ thorough: true }).finally(() => {
    ended = true;
  });
  let writes = 0;
  while (!ended) {
    await manager.apply([device.write({ pk: ['during'], set: { a: writes++ } })]);
    await new Promise(setImmediate);
  }
  await maintained;
  assert.ok(writes > 5, `${writes} writes came in between`);
  const replica = new Replica();
  replica.apply(await readAll(manager));
  assert.deepEqual(replica.contents(), await contentsOfSnapshot(manager));
  const during = replica.rows('main', 't').find(([pk]) => pk[0] === 'during');
  assert.deepEqual(during, [['during'], { a: writes - 1 }]);
});

async function sizeOf(directory: string): Promise<number> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async (file) => (await stat(path.join(file.parentPath, file.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function storeSize(t: TestContext, overwrites: number): Promise<number> {
  const directory = await mkdtemp(path.join(tmpdir(), 'compaction-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const storage = await createLevelStorage({ directory, durability: 'os' });
  const { manager } = await openEngine({ store: await storage.open('db') });
  const device = new Device(1);
  for (let round = 0; round <= overwrites; round++) {
    for (let start = 0; start < 1000; start += 100) {
      const rows = Array.from({ length: 100 }, (_, i) => ({
        pk: [start + i],
        set: { a: `${round}-${i}`.padEnd(40, 'x'), b: round * i, c: `${i}`.padEnd(20) },
      }));
      await manager.apply([device.write(...rows)]);
    }
  }
  await manager.maintain({ thorough: true });
  await manager.close();
  await storage.close();
  return sizeOf(directory);
}

test('after 100 overwrites of every row the store is hardly larger than after none', async (t) => {
  const once = await storeSize(t, 0);
  const overwritten = await storeSize(t, 100);
  assert.ok(overwritten <= 1.5 * once, `${overwritten} bytes, and ${once} when written once`);
});

test('a log is shortened, too, while tables are made all the time', async () => {
  const { manager, world } = await openEngine();
  const device = new Device(1);
  for (let i = 0; i < 20; i++) await manager.apply([device.write({ pk: [1], set: { a: i } })]);
  let made = 0;
  let isBusy = false;
  const quiet = world.yield;
  world.yield = async () => {
    await quiet();
    if (isBusy || made === 50) return;
    isBusy = true;
    await manager.apply([device.migrate('create_table', `made ${made++}`)]);
    isBusy = false;
  };
  const { changesCompacted } = await manager.maintain({ thorough: true });
  assert.equal(changesCompacted, 19);
  assert.ok(made < 50, 'without waiting for an end of it');
});
