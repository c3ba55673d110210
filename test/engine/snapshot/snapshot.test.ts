import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import type { Snapshot } from '../../../src/engine/snapshot/snapshot.ts';
import type { WireCheckpoint } from '../../../src/protocol/schemas.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine, readAll, readChunks, takeSnapshot } from '../../support/engine.ts';

function checkpointOf(
  chunks: Record<string, unknown>[],
  completedTables: string[],
  receiver = new Device(9),
): WireCheckpoint {
  const [header] = chunks;
  return {
    snapshotId: String(header?.snapshotId),
    siteId: receiver.siteId,
    hlc: String(header?.hlc),
    lastTableIndex: completedTables.length,
    lastEntryIndex: 0,
    completedTables,
    entriesProcessed: 0,
    createdAt: 1,
  };
}

function tables(chunks: Record<string, unknown>[]): unknown[] {
  return chunks.filter(({ type }) => type === 'table-start').map(({ table }) => table);
}

async function filled() {
  const engine = await openEngine();
  const device = new Device(1);
  await engine.manager.apply([
    device.migrate('create_table', 'a'),
    device.write({ table: 'a', pk: [1], set: { x: 1 } }, { table: 'b', pk: [1], set: { x: 1 } }),
    device.write({ table: 'a', pk: [2], delete: true }),
  ]);
  return { ...engine, device };
}

test('a resumed snapshot skips what is complete, repeats its header, and sends all tombstones', async () => {
  const { manager } = await filled();
  const chunks = await takeSnapshot(manager);
  const checkpoint = checkpointOf(chunks, ['main.a']);
  const resumed = await takeSnapshot(manager, checkpoint);
  const { snapshotId, siteId, hlc } = checkpoint;
  assert.deepEqual(
    [resumed[0]?.snapshotId, resumed[0]?.siteId, resumed[0]?.hlc],
    [snapshotId, siteId, hlc],
  );
  assert.deepEqual(tables(resumed), ['b']);
  assert.equal(resumed.filter(({ type }) => type === 'tombstone').length, 1);
  assert.equal(resumed.filter(({ type }) => type === 'schema-migration').length, 1);
});

test('a checkpoint that this coordinator did not issue starts a fresh snapshot', async () => {
  const { manager, world, device } = await filled();
  const chunks = await takeSnapshot(manager);
  const foreign = { ...checkpointOf(chunks, ['main.a']), hlc: device.hlc(world.nowMs) };
  const future = checkpointOf(chunks, ['main.a']);
  await manager.apply([device.write({ pk: [1], set: { x: 1 } })]);
  const later = checkpointOf(await takeSnapshot(manager), ['main.a']);
  const other = await filled();
  for (const [from, checkpoint] of [
    [manager, foreign],
    [other.manager, later],
  ] as const) {
    const fresh = await takeSnapshot(from, checkpoint);
    assert.notEqual(fresh[0]?.snapshotId, checkpoint.snapshotId);
    assert.ok(tables(fresh).includes('a'));
  }
  assert.deepEqual(tables(await takeSnapshot(manager, future)).includes('a'), false);
});

test('a checkpoint behind the horizon starts a fresh snapshot', async () => {
  const { manager, world, device } = await filled();
  const checkpoint = checkpointOf(await takeSnapshot(manager), ['main.a']);
  await manager.apply([device.write({ table: 'a', pk: [1], delete: true })]);
  world.nowMs += 2000;
  await manager.maintain({ thorough: true });
  const fresh = await takeSnapshot(manager, checkpoint);
  assert.notEqual(fresh[0]?.snapshotId, checkpoint.snapshotId);
});

test('tables whose labels are alike are never skipped for each other', async () => {
  const { manager, device } = await filled();
  await manager.apply([
    device.write({ schema: 'main', table: 'p.q', pk: [1], set: { x: 1 } }),
    device.write({ schema: 'main.p', table: 'q', pk: [1], set: { x: 1 } }),
  ]);
  const checkpoint = checkpointOf(await takeSnapshot(manager), ['main.a', 'main.b', 'main.p.q']);
  assert.deepEqual(tables(await takeSnapshot(manager, checkpoint)), ['p.q', 'q']);
});

test('a snapshot shows one moment, whatever is written and dropped while it is read', async () => {
  const { manager, device } = await filled();
  const snapshot = await manager.tables.snapshot();
  const chunks: Record<string, unknown>[] = [];
  for await (const chunk of snapshot.chunks) {
    chunks.push(JSON.parse(Buffer.from(chunk).toString()));
    if (chunks.length > 1) continue;
    await manager.apply([
      device.migrate('drop_table', 'b', { schemaVersion: 2 }),
      device.migrate('rename_table', 'z', { fromTable: 'a' }),
      device.write({ table: 'z', pk: [5], set: { x: 5 } }),
    ]);
    await manager.maintain({ thorough: true });
  }
  await snapshot.close();
  assert.deepEqual(tables(chunks), ['a', 'b']);
  assert.equal(
    (await readAll(manager, snapshot.headerHlc)).length,
    3,
    'and what came after follows',
  );
});

test('after the wall has jumped back the header is not ahead of it, and nothing is missed', async () => {
  const { manager, world, device } = await filled();
  world.nowMs -= 3_600_000;
  await manager.apply([device.write({ table: 'a', pk: [3], set: { x: 3 } })]);
  const [header] = await takeSnapshot(manager);
  assert.ok(hlcWallTimeMs(String(header?.hlc)) <= world.nowMs);
  assert.deepEqual(await readAll(manager, String(header?.hlc)), [], 'it covers what it holds');
  await manager.apply([device.write({ table: 'a', pk: [4], set: { x: 4 } })]);
  assert.equal((await readAll(manager, String(header?.hlc))).length, 1);
});

test('a horizon that is ahead of the clock, since that was set back, refuses nobody who has taken a snapshot', async () => {
  const { manager, world, device } = await filled();
  const now = world.nowMs;
  world.nowMs += 7_200_000;
  await manager.apply([device.write({ table: 'a', pk: [1], delete: true })]);
  world.nowMs += 10_000;
  await manager.maintain({ thorough: true });
  world.nowMs = now;
  const [header] = await takeSnapshot(manager);
  const hlc = String(header?.hlc);
  assert.ok(hlcWallTimeMs(hlc) <= now);
  assert.deepEqual(await readAll(manager, hlc), []);
  device.wallTime += 10;
  await manager.apply([device.write({ table: 'a', pk: [9], set: { x: 9 } })]);
  assert.equal((await readAll(manager, hlc)).length, 1);
  const checkpoint = checkpointOf([header ?? {}], ['main.a']);
  const [resumed] = await takeSnapshot(manager, checkpoint);
  assert.equal(resumed?.snapshotId, header?.snapshotId, 'and it can be gone on with');
});

test('after a drop or a rename a snapshot that was cut is begun anew', async () => {
  for (const [type, more] of [
    ['rename_table', { fromTable: 'b' }],
    ['drop_table', { schemaVersion: 2 }],
  ] as const) {
    const { manager, device } = await filled();
    const chunks = await takeSnapshot(manager);
    const table = type === 'drop_table' ? 'b' : 'c';
    await manager.apply([device.write({ table: 'a', pk: [8], set: { x: 8 } })]);
    const [resumed] = await takeSnapshot(manager, checkpointOf(chunks, ['main.a']));
    assert.equal(resumed?.snapshotId, chunks[0]?.snapshotId, 'data is no reason');
    await manager.apply([device.migrate(type, table, more)]);
    const again = await takeSnapshot(manager, checkpointOf(chunks, ['main.a']));
    assert.notEqual(again[0]?.snapshotId, chunks[0]?.snapshotId, type);
    assert.ok(tables(again).includes('a'), type);
  }
});

test('a table is sent whatever its count of cells says', async () => {
  const { manager, store } = await filled();
  const whole = tables(await takeSnapshot(manager));
  await store.exclusive(async (transaction) => {
    for await (const entries of store.iterate({ gte: Buffer.from('c'), lt: Buffer.from('d') })) {
      for (const [key] of entries) transaction.delete(key);
    }
  });
  assert.deepEqual(tables(await takeSnapshot(manager)), whole);
});

test('snapshots share the catalog, and hold none of its DDL', async () => {
  const { manager, device } = await filled();
  const [first, second] = [await manager.tables.snapshot(), await manager.tables.snapshot()];
  // One is made for each catalog.
  assert.equal(first.aliases, second.aliases);
  await manager.apply([device.migrate('create_table', 'z')]);
  const third = await manager.tables.snapshot();
  assert.notEqual(first.aliases, third.aliases);
  const ddl = async (snapshot: Snapshot) =>
    (await readChunks(snapshot)).filter(({ type }) => type === 'schema-migration').length;
  assert.deepEqual([await ddl(first), await ddl(second), await ddl(third)], [1, 1, 2]);
});

test('long DDL is written once there is memory for it, one text at a time', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const long = 'é"'.repeat(200_000);
  await manager.apply([
    device.migrate('create_table', 'a'),
    device.migrate('create_table', 'b', { ddl: `create table b (x) -- ${long}` }),
    device.migrate('create_table', 'c', { ddl: `create table c (x) -- ${long}` }),
  ]);
  const seen: (string | number)[] = [];
  const snapshot = await manager.tables.snapshot(undefined, {
    memory: {
      admit: async (bytes) => void seen.push(bytes > 0 ? Math.ceil(bytes / 800_000) : 0),
      inTurn: (read) => read(),
    },
  });
  for await (const { table } of snapshot.migrations()) seen.push(table);
  for await (const chunk of snapshot.chunks) {
    const { type, migration } = JSON.parse(Buffer.from(chunk).toString());
    seen.push(migration?.table ?? type);
  }
  await snapshot.close();
  const texts = ['a', 2, 'b', 0, 2, 'c', 0];
  assert.deepEqual(seen, [...texts, 'header', ...texts, 'footer']);
});

test('a snapshot has the DDL that another process has written', async () => {
  const { manager, store, world } = await filled();
  const other = await openEngine({ store, world });
  await other.manager.apply([new Device(2).migrate('create_table', 'theirs')]);
  const chunks = await takeSnapshot(manager);
  assert.equal(chunks.filter(({ type }) => type === 'schema-migration').length, 2);
});
