import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc } from '../../../src/clock/hlc.ts';
import { UNDATED } from '../../../src/engine/merge/own-write.ts';
import type { WireChange } from '../../../src/protocol/schemas.ts';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { openEngine, readAll, type TestEngine, takeSnapshot } from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';

const at = { schema: 'main', hlc: UNDATED } as const;
const set = (table: string, pk: unknown[], column: string, value: unknown): WireChange => ({
  ...at,
  ...{ type: 'column', table, pk, column, value },
});
const remove = (table: string, pk: unknown[]): WireChange => ({ ...at, type: 'delete', table, pk });

async function contentsOf({ manager, store }: TestEngine) {
  const fromSnapshot = new Replica();
  fromSnapshot.load(await takeSnapshot(manager));
  const fromLog = new Replica();
  fromLog.apply(await readAll(manager));
  assert.deepEqual(fromLog.contents(), fromSnapshot.contents());
  for await (const found of verifyDatabase(store)) assert.fail(JSON.stringify(found));
  return Object.values(fromSnapshot.contents());
}

test('what the coordinator writes wins over a device whose clock is ahead, and is its own', async () => {
  const engine = await openEngine();
  const { manager, world } = engine;
  const ahead = new Device(1, world.nowMs + 30_000);
  await manager.apply([ahead.write({ pk: [1], set: { a: 'device', b: 'device' } })]);
  const { applied, position } = await manager.write([set('t', [1], 'a', 'server')]);
  assert.equal(applied, 1);
  const [, written] = await readAll(manager);
  assert.equal(written?.siteId, manager.identity.siteIdText);
  assert.equal(written?.hlc, position);
  const later = new Device(2, world.nowMs);
  const { conflicts } = await manager.apply([later.write({ pk: [1], set: { a: 'late' } })]);
  assert.equal(conflicts, 1, 'dated before what the server saw');
  assert.deepEqual(await contentsOf(engine), [{ a: 'server', b: 'device' }]);
  await manager.apply([ahead.write({ pk: [1], set: { a: 'again' } })]);
  assert.deepEqual(await contentsOf(engine), [{ a: 'again', b: 'device' }]);
});

test('a write is one transaction, and of one cell the last one counts', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const { applied } = await manager.write([
    set('t', [1], 'a', 1),
    set('t', [1], 'a', 2),
    set('t', [2], 'a', 1),
    remove('t', [2]),
    set('u', [1], 'a', null),
  ]);
  assert.equal(applied, 5);
  const [written, ...others] = await readAll(manager);
  assert.deepEqual(others, []);
  const hlcs = written?.changes.map(({ hlc }) => hlc) ?? [];
  assert.ok(hlcs.every((hlc, i) => i === 0 || compareHlc(hlcs[i - 1] ?? hlc, hlc) < 0));
  assert.deepEqual(await contentsOf(engine), [{ a: 2 }, { a: null }]);
});

test('a row is deleted with all its cells; one that is not there leaves nothing behind', async () => {
  const engine = await openEngine();
  const { manager, world } = engine;
  const ahead = new Device(1, world.nowMs + 30_000);
  await manager.apply([ahead.write({ pk: [1], set: { a: 1 } })]);
  const before = manager.position;
  const none = await manager.write([remove('t', [2]), remove('nowhere', [1])]);
  assert.deepEqual([none.applied, none.skipped], [0, 2]);
  assert.equal(manager.position, before);
  assert.equal((await manager.write([remove('t', [1])])).applied, 1);
  assert.deepEqual(await contentsOf(engine), []);
});

test('a table is found by the name that it has now; one that was dropped is refused, with its place', async () => {
  const engine = await openEngine();
  const { manager, world } = engine;
  const ahead = new Device(1, world.nowMs + 30_000);
  await manager.apply([
    ahead.migrate('create_table', 'old'),
    ahead.write({ table: 'old', pk: [1], set: { a: 1 } }),
    ahead.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 2 }),
    ahead.migrate('create_table', 'gone', { schemaVersion: 3 }),
    ahead.write({ table: 'gone', pk: [1], set: { a: 1 } }),
    ahead.migrate('drop_table', 'gone', { schemaVersion: 4 }),
  ]);
  await manager.write([set('new', [1], 'a', 2)]);
  assert.deepEqual(await contentsOf(engine), [{ a: 2 }]);
  await assert.rejects(manager.write([set('new', [1], 'a', 3), set('gone', [1], 'a', 2)]), {
    code: 'MESSAGE_ERROR',
    message: 'changes[1].table: "gone" was dropped',
  });
  assert.deepEqual(await contentsOf(engine), [{ a: 2 }]);
  await manager.apply([ahead.migrate('create_table', 'gone', { schemaVersion: 5 })]);
  await manager.write([set('gone', [1], 'a', 3)]);
  assert.deepEqual(await contentsOf(engine), [{ a: 3 }, { a: 2 }], 'by table');
});
