import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { openEngine, readAll, takeSnapshot } from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';

const TTL_MS = 1000;

test('an expired tombstone moves the horizon: who lies behind it is sent to a snapshot', async () => {
  const { manager, world } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { a: 1 } }, { pk: [2], set: { a: 2 } })]);
  const beforeDelete = manager.position;
  await manager.apply([device.write({ pk: [1], delete: true })]);
  const afterDelete = manager.position;

  world.nowMs += TTL_MS;
  await manager.maintain({ thorough: true });
  assert.equal((await readAll(manager, beforeDelete)).length, 1, 'not before its time');

  world.nowMs += 1;
  await manager.maintain({ thorough: true });
  await assert.rejects(manager.log.cursorFor(beforeDelete), { code: 'SNAPSHOT_REQUIRED' });
  assert.equal((await manager.log.cursorFor(afterDelete)).position, afterDelete);
  assert.ok(await manager.log.cursorFor(undefined), 'who has nothing needs no tombstones');

  const chunks = await takeSnapshot(manager);
  assert.ok(!chunks.some(({ type }) => type === 'tombstone'));
  const replica = new Replica();
  replica.load(chunks);
  assert.deepEqual(Object.values(replica.contents()), [{ a: 2 }]);
});

test('a row that lives again keeps its cells when its tombstone expires', async () => {
  const { manager, world } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1);
  await manager.apply([
    device.write({ pk: [1], set: { a: 1 } }),
    device.write({ pk: [1], delete: true }),
    device.write({ pk: [1], set: { b: 2 } }),
  ]);
  assert.ok(!(await takeSnapshot(manager)).some(({ type }) => type === 'tombstone'));
  world.nowMs += TTL_MS + 1;
  await manager.maintain({ thorough: true });
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  assert.deepEqual(Object.values(replica.contents()), [{ b: 2 }]);
});

test('thousands of tombstones expire in steps, with writers in between', async () => {
  const { manager, world } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1);
  const keys = Array.from({ length: 3500 }, (_, i) => i);
  await manager.apply([device.write(...keys.map((i) => ({ pk: [i], delete: true as const })))]);
  world.nowMs += TTL_MS + 1;
  const maintained = manager.maintain({ thorough: true });
  const written = manager.apply([device.write({ pk: ['between'], set: { a: 1 } })]);
  const first = await Promise.race([
    maintained.then(() => 'maintained'),
    written.then(() => 'written'),
  ]);
  assert.equal(first, 'written');
  await maintained;
  assert.ok(!(await takeSnapshot(manager)).some(({ type }) => type === 'tombstone'));
});

test('without resurrection a tombstone blocks every write until it expires, in any order', async () => {
  const device = new Device(1);
  const removed = device.write({ pk: [1], delete: true });
  const rewritten = device.write({ pk: [1], set: { a: 'again' } });
  for (const order of [
    [removed, rewritten],
    [rewritten, removed],
  ]) {
    const { manager, world } = await openEngine({ allowResurrection: false, tombstoneTTL: TTL_MS });
    for (const changeSet of order) await manager.apply([changeSet]);
    const replica = new Replica();
    replica.load(await takeSnapshot(manager));
    assert.deepEqual(replica.contents(), {});
    assert.equal(replica.tombstones().length, 1);
    world.nowMs += TTL_MS + 1;
    await manager.maintain({ thorough: true });
    assert.equal((await manager.apply([rewritten])).applied, 1, 'the key is free again');
  }
});

test('what led to a drop is forgotten whole, though some of it was said again under another name', async () => {
  const { manager, store, world } = await openEngine({ tombstoneTTL: TTL_MS });
  const start = world.nowMs;
  const device = new Device(1, start);
  const at = (ms: number, ...told: Parameters<Device['migrate']>) => {
    device.wallTime = start + ms;
    return manager.apply([device.migrate(...told)]);
  };
  await at(1, 'create_table', 'b');
  await at(2, 'rename_table', 'a', { fromTable: 'b', schemaVersion: 2 });
  await at(5, 'rename_table', 'b', { fromTable: 'a', schemaVersion: 3 });
  await at(3, 'create_table', 'b');
  await at(6, 'drop_table', 'b', { schemaVersion: 4 });
  world.nowMs += 2 * TTL_MS;
  await manager.maintain({ thorough: true });
  const chunks = await takeSnapshot(manager);
  assert.deepEqual(
    chunks.map(({ type }) => type),
    ['header', 'footer'],
  );
  for await (const found of verifyDatabase(store)) assert.fail(JSON.stringify(found));
});
