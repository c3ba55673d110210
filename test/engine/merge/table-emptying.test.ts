import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncError } from '../../../src/errors/sync-error.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { openEngine, readAll, takeSnapshot } from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';

async function countKeys(store: KVStore, kind: string): Promise<number> {
  let keys = 0;
  const range = { gte: Buffer.from(kind), lt: Buffer.from([kind.charCodeAt(0) + 1]) };
  for await (const entries of store.iterate(range)) keys += entries.length;
  return keys;
}

async function assertSound(store: KVStore): Promise<void> {
  for await (const { code, where, what } of verifyDatabase(store)) {
    assert.fail(`${code} ${where}: ${what}`);
  }
}

const rows = (count: number, table: string, column = 'a') =>
  Array.from({ length: count }, (_, i) => ({ table, pk: [i], set: { [column]: i } }));

test('a drop with one newer row among thousands is done in steps, and writers come between', async () => {
  let puts = 0;
  let putsMax = 0;
  const memory = await createMemoryStorage().open('test');
  const store: KVStore = {
    ...memory,
    exclusive: (work) =>
      memory.exclusive((transaction) => {
        puts = 0;
        const note = () => {
          putsMax = Math.max(putsMax, ++puts);
        };
        return work({
          ...transaction,
          put: (key, value) => {
            note();
            transaction.put(key, value);
          },
          delete: (key) => {
            note();
            transaction.delete(key);
          },
        });
      }),
  };
  const { manager } = await openEngine({ store });
  const [device, late] = [new Device(1), new Device(2)];
  await manager.apply([device.migrate('create_table', 'big'), device.write(...rows(3000, 'big'))]);
  late.wallTime = device.wallTime + 10;
  const dropped = late.migrate('drop_table', 'big', { schemaVersion: 2 });
  device.wallTime = late.wallTime + 10;
  await manager.apply([device.write({ table: 'big', pk: [7], set: { a: 'newer' } })]);
  late.wallTime = device.wallTime + 10;
  const again = late.migrate('create_table', 'big', { schemaVersion: 3 });
  putsMax = 0;
  const before = manager.position;
  await manager.apply([dropped, again]);
  await manager.apply([device.write({ pk: ['between'], set: { a: 1 } })]);
  assert.ok((await countKeys(store, 'r')) > 1000, 'a writer need not wait for all of it');
  await manager.maintain();
  assert.ok(putsMax < 1100, `${putsMax} records in one transaction`);
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  assert.deepEqual(replica.contents(), {
    '["main","big","7"]': { a: 'newer' },
    [JSON.stringify(['main', 't', '"between"'])]: { a: 1 },
  });
  const told = (await readAll(manager, before)).flatMap(({ changes }) => changes);
  assert.deepEqual(told.map(({ pk }) => pk).sort(), [['between'], [7]].sort());
  await assertSound(store);
});

test('a step reads few rows of the table to which its rows move, where these are long', async () => {
  const memory = await createMemoryStorage().open('test');
  const long = 1024 * 1024;
  let read = 0;
  let mostRead = 0;
  const store: KVStore = {
    ...memory,
    exclusive: (work) =>
      memory.exclusive((transaction) => {
        read = 0;
        return work({
          ...transaction,
          getMany: async (keys) => {
            const values = await transaction.getMany(keys);
            for (const value of values) read += value?.length ?? 0;
            mostRead = Math.max(mostRead, read);
            return values;
          },
        });
      }),
  };
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  const small = Array.from({ length: 200 }, (_, i) => ({
    table: 't',
    pk: [1000 + i],
    set: { a: 1 },
  }));
  const late = new Device(2, device.wallTime + 10);
  const ended = [late.migrate('drop_table', 't'), late.migrate('create_table', 't')];
  device.wallTime = late.wallTime + 10;
  await manager.apply([device.write(...small)]);
  // The first step moves half of them, before there are long ones.
  const longer = Array.from({ length: 60 }, (_, i) => ({
    ...{ table: 't', pk: [1140 + i] },
    set: { b: 'x'.repeat(long) },
  }));
  await manager.apply([...ended, device.write(...longer)]);
  await manager.maintain();
  assert.ok(mostRead > long, 'none of them was read');
  assert.ok(mostRead < 40 * 1024 * 1024, `${mostRead} bytes of rows in one transaction`);
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  const contents = Object.values(replica.contents());
  assert.equal(contents.length, 200);
  assert.ok(contents.every((row) => row.a === 1));
  assert.equal(contents.filter((row) => 'b' in row).length, 60);
  await assertSound(store);
});

test('killed after any step, what is left to move is moved by whoever opens the database', async () => {
  for (let survives = 1; survives < 8; survives++) {
    const memory = await createMemoryStorage().open('test');
    let left = Number.POSITIVE_INFINITY;
    const mortal: KVStore = {
      ...memory,
      exclusive: (work) => {
        if (left-- <= 0) return Promise.reject(new SyncError('STORE_UNAVAILABLE', 'killed'));
        return memory.exclusive(work);
      },
    };
    const first = await openEngine({ store: mortal, stepRows: 4 });
    const device = new Device(1);
    await first.manager.apply([device.migrate('drop_table', 't', { schemaVersion: 2 })]);
    // Held, since the table was dropped: all of it moves when it is made again.
    await first.manager.apply([device.write(...rows(20, 't'))]);
    left = survives;
    await first.manager.apply([device.migrate('create_table', 't', { schemaVersion: 3 })]);
    await first.manager.maintain().catch(() => undefined);
    await first.manager.close();
    const second = await openEngine({ store: memory, stepRows: 4 });
    await second.manager.maintain();
    const replica = new Replica();
    replica.load(await takeSnapshot(second.manager));
    assert.equal(Object.keys(replica.contents()).length, 20, `after ${survives} transactions`);
    const heard = new Replica();
    heard.apply(await readAll(second.manager));
    assert.deepEqual(heard.contents(), replica.contents());
    await assertSound(memory);
  }
});

test('a name that is made and dropped again and again leaves one record of each kind', async () => {
  const { manager, store, world } = await openEngine();
  const device = new Device(1);
  for (let i = 0; i < 400; i++) {
    await manager.apply([
      device.migrate('create_table', 't', { schemaVersion: 2 * i }),
      device.write({ pk: [1], set: { a: i } }),
      device.migrate('drop_table', 't', { schemaVersion: 2 * i + 1 }),
    ]);
  }
  assert.deepEqual([await countKeys(store, 't'), await countKeys(store, 'n')], [1, 1]);
  assert.equal(await countKeys(store, 'g'), 1, 'the last drop');
  assert.equal(await countKeys(store, 'r'), 0);
  world.nowMs += 10_000;
  await manager.maintain({ thorough: true });
  assert.deepEqual(await readAll(manager), []);
  const kinds = ['t', 'n', 'g', 'l', 'e', 'r'];
  const left = await Promise.all(kinds.map((kind) => countKeys(store, kind)));
  assert.deepEqual(left, [1, 1, 0, 0, 0, 0], 'what keeps the past from coming back');
  await assertSound(store);
});

test('thousands of devices that make the same tables leave one migration, and no log', async () => {
  const { manager, store } = await openEngine();
  const first = new Device(1);
  await manager.apply([first.migrate('create_table', 't')]);
  for (let number = 2; number <= 2000; number++) {
    const device = new Device(number, first.wallTime + number);
    const result = await manager.apply([device.migrate('create_table', 't')]);
    assert.deepEqual([result.applied, result.skipped], [0, 1]);
  }
  assert.equal(manager.logLength, 1);
  const [migration] = (await readAll(manager)).flatMap(({ schemaMigrations }) => schemaMigrations);
  assert.equal(
    migration?.hlc,
    first.hlc(first.wallTime - 1),
    'a new device hears of the first one',
  );
  for (const kind of ['g', 't', 'n', 'l']) assert.equal(await countKeys(store, kind), 1, kind);
  await assertSound(store);
});

test('a deletion that has been forgotten, and takes something away where it moves to, is told', async () => {
  const { manager, store, world } = await openEngine({ tombstoneTTL: 1000 });
  const [writer, deleter] = [new Device(1, world.nowMs), new Device(2, world.nowMs + 100)];
  // Of a table that nobody has made yet.
  await manager.apply([deleter.write({ table: 'b', pk: [1], delete: true })]);
  world.nowMs += 5000;
  await manager.maintain({ thorough: true });
  const reader = new Replica();
  await manager.apply([
    writer.migrate('create_table', 'a'),
    writer.write(
      { table: 'a', pk: [1], set: { x: 'older than the deletion' } },
      { table: 'a', pk: [2], set: { x: 'stays' } },
    ),
  ]);
  reader.load(await takeSnapshot(manager));
  const before = manager.position;
  deleter.wallTime = world.nowMs;
  await manager.apply([deleter.migrate('rename_table', 'b', { fromTable: 'a', schemaVersion: 2 })]);
  await manager.maintain({ thorough: true });
  const left = [{ x: 'stays' }];
  const fresh = new Replica();
  fresh.load(await takeSnapshot(manager));
  assert.deepEqual(Object.values(fresh.contents()), left);
  const fromLog = new Replica();
  fromLog.apply(await readAll(manager));
  assert.deepEqual(Object.values(fromLog.contents()), left);
  const told = (await readAll(manager, before)).flatMap(({ changes }) => changes);
  assert.deepEqual(
    told.map(({ type, table, pk }) => [type, table, pk]),
    [['delete', 'b', [1]]],
  );
  await assertSound(store);
});
