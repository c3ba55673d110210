import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableKey } from '../../src/engine/records/keys.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';

function tablesIn(chunks: Record<string, unknown>[]): unknown[] {
  return chunks.filter(({ type }) => type === 'table-start').map(({ table }) => table);
}

function cellsIn(chunks: Record<string, unknown>[]): string[] {
  return chunks
    .filter(({ type }) => type === 'column-versions')
    .flatMap(({ table, entries }) =>
      (entries as { pk: unknown[]; column: string; value: unknown }[]).map(
        ({ pk, column, value }) => `${table} ${JSON.stringify(pk)} ${column}=${value}`,
      ),
    )
    .sort();
}

async function shuffles(
  changeSets: WireChangeSet[],
  check: (cells: string[], delivered: WireChangeSet[]) => void,
): Promise<void> {
  for (const order of permutations(changeSets)) {
    const { manager } = await openEngine();
    for (const changeSet of order) await manager.apply([changeSet]);
    check(cellsIn(await takeSnapshot(manager)), await readAll(manager));
    const together = await openEngine();
    await together.manager.apply(order);
    check(cellsIn(await takeSnapshot(together.manager)), await readAll(together.manager));
  }
}

function* permutations<T>(items: T[]): Generator<T[]> {
  if (items.length <= 1) yield items;
  for (const [index, first] of items.entries()) {
    const rest = items.filter((_, i) => i !== index);
    for (const tail of permutations(rest)) yield [first, ...tail];
  }
}

test('a dropped table leaves no cells and no tombstones, whenever its data arrives', async () => {
  const device = new Device(1);
  const changeSets = [
    device.migrate('create_table', 'gone'),
    device.write(
      { table: 'gone', pk: [1], set: { a: 1 } },
      { table: 'gone', pk: [2], delete: true },
    ),
    device.migrate('drop_table', 'gone', { schemaVersion: 2 }),
    device.write({ table: 'kept', pk: [1], set: { a: 1 } }),
  ];
  await shuffles(changeSets, (cells, delivered) => {
    assert.deepEqual(cells, ['kept [1] a=1']);
    const tables = delivered.flatMap(({ changes }) => changes.map(({ table }) => table));
    assert.deepEqual(tables, ['kept'], 'a delta never holds cells of a dropped table');
  });
  const { manager } = await openEngine();
  await manager.apply(changeSets);
  const chunks = await takeSnapshot(manager);
  assert.deepEqual(tablesIn(chunks), ['kept']);
  assert.ok(!chunks.some(({ type }) => type === 'tombstone'));
});

test('a renamed table is held and delivered under its new name, late edits included', async () => {
  const device = new Device(1);
  const changeSets = [
    device.write({ table: 'old', pk: [1], set: { a: 1 } }),
    device.migrate('rename_table', 'new', { fromTable: 'old' }),
    device.write({ table: 'new', pk: [1], set: { b: 2 } }),
    device.write({ table: 'old', pk: [1], set: { c: 3 } }),
  ];
  await shuffles(changeSets, (cells, delivered) => {
    // Whoever still writes to the old name means the table that had it.
    assert.deepEqual(cells, ['new [1] a=1', 'new [1] b=2', 'new [1] c=3']);
    const replica = new Replica();
    replica.apply(delivered);
    assert.deepEqual(replica.contents(), {
      '["main","new","1"]': { a: 1, b: 2, c: 3 },
    });
  });
});

test('a table that is dropped and made again holds only what was written since', async () => {
  const device = new Device(1);
  const changeSets = [
    device.write({ table: 't', pk: [1], set: { a: 1, b: 1 } }),
    device.migrate('drop_table', 't', { schemaVersion: 2 }),
    device.migrate('create_table', 't', { schemaVersion: 3 }),
    device.write({ table: 't', pk: [1], set: { b: 2 } }),
  ];
  await shuffles(changeSets, (cells) => assert.deepEqual(cells, ['t [1] b=2']));
});

test('who has not heard of a drop can write on, but nobody is sent it until the name is used again', async () => {
  const device = new Device(1);
  const dropped = device.migrate('drop_table', 't', { schemaVersion: 2 });
  const made = device.migrate('create_table', 't', { schemaVersion: 3 });
  const unaware = [
    device.write({ pk: [1], set: { a: 1 } }),
    device.write({ pk: [2], delete: true }),
  ];
  for (const order of permutations([dropped, ...unaware])) {
    const { manager } = await openEngine();
    for (const changeSet of order) await manager.apply([changeSet]);
    const chunks = await takeSnapshot(manager);
    assert.deepEqual(cellsIn(chunks), []);
    assert.ok(!chunks.some(({ type }) => type === 'tombstone'));
    const before = await readAll(manager);
    assert.deepEqual(
      before.flatMap(({ changes }) => changes),
      [],
    );

    await manager.apply([made]);
    assert.deepEqual(cellsIn(await takeSnapshot(manager)), ['t [1] a=1']);
    const since = await readAll(manager, before.at(-1)?.hlc);
    assert.deepEqual(
      since.map(({ changes, schemaMigrations }) => [changes.length, schemaMigrations.length]),
      [
        [0, 1],
        [2, 0],
      ],
      'first the DDL, then what was held',
    );
    const replica = new Replica();
    replica.apply(since);
    assert.deepEqual(replica.contents(), { '["main","t","1"]': { a: 1 } });
    assert.deepEqual(replica.tombstones(), ['["main","t","2"]']);
  }
});

test('a table rebuilt under its own name keeps its rows, also when the drop comes last', async () => {
  const device = new Device(1);
  const old = [
    device.migrate('create_table', 't'),
    device.write({ table: 't', pk: [1], set: { a: 1 } }),
  ];
  const copy = [
    device.migrate('create_table', 't_new'),
    device.write({ table: 't_new', pk: [1], set: { a: 1, b: 1 } }),
  ];
  const drop = device.migrate('drop_table', 't', { schemaVersion: 2 });
  const rename = device.migrate('rename_table', 't', { fromTable: 't_new', schemaVersion: 3 });
  const after = device.write({ table: 't', pk: [2], set: { a: 2 } });
  for (const order of [
    [...old, ...copy, drop, rename, after],
    [...copy, rename, after, drop],
  ]) {
    const { manager } = await openEngine();
    for (const changeSet of order) await manager.apply([changeSet]);
    const cells = cellsIn(await takeSnapshot(manager));
    assert.deepEqual(cells, ['t [1] a=1', 't [1] b=1', 't [2] a=2']);
  }
});

test('the rows of a dropped table are cleared away in the background, and nothing else is', async () => {
  const device = new Device(1);
  const { manager, store } = await openEngine();
  const rows = Array.from({ length: 2500 }, (_, i) => ({ table: 'big', pk: [i], set: { a: i } }));
  await manager.apply([device.write(...rows), device.write({ pk: [1], set: { a: 1 } })]);
  await manager.apply([device.migrate('drop_table', 'big')]);
  await manager.maintain({ thorough: true });
  let keys = 0;
  const range = { gte: Buffer.from('r'), lt: Buffer.from('s') };
  for await (const entries of store.iterate(range)) keys += entries.length;
  assert.equal(keys, 1);
  assert.deepEqual(cellsIn(await takeSnapshot(manager)), ['t [1] a=1']);
  await manager.apply([
    device.migrate('create_table', 'big', { schemaVersion: 2 }),
    device.write({ table: 'big', pk: [7], set: { a: 'again' } }),
  ]);
  assert.deepEqual(cellsIn(await takeSnapshot(manager)), ['big [7] a=again', 't [1] a=1']);
});

test('of two migrations in one slot the later HLC wins; the other is skipped', async () => {
  const [early, late] = [new Device(1), new Device(2)];
  late.wallTime = early.wallTime + 10;
  const changeSets = [
    early.migrate('add_column', 't', { schemaVersion: 2, ddl: 'early' }),
    late.migrate('add_column', 't', { schemaVersion: 2, ddl: 'late' }),
  ];
  for (const order of permutations(changeSets)) {
    const { manager } = await openEngine();
    for (const changeSet of order) await manager.apply([changeSet]);
    const again = await manager.apply(order);
    assert.deepEqual([again.applied, again.skipped], [0, 2]);
    const ddl = (await takeSnapshot(manager))
      .filter(({ type }) => type === 'schema-migration')
      .map(({ migration }) => (migration as { ddl: string }).ddl);
    assert.deepEqual(ddl, ['late']);
  }
});

test('an index and a table of one name and version are different things', async () => {
  const device = new Device(1);
  const { manager } = await openEngine();
  const result = await manager.apply([
    device.migrate('create_table', 'x'),
    device.migrate('add_index', 'x'),
  ]);
  assert.equal(result.applied, 2);
});

test('what was held for a dropped name is delivered when that name turns out to have been made again and renamed', async () => {
  const device = new Device(1);
  const dropped = [
    device.migrate('create_table', 'old'),
    device.write({ table: 'old', pk: [1], set: { a: 'dropped' } }),
    device.migrate('drop_table', 'old', { schemaVersion: 2 }),
  ];
  const late = new Device(2);
  late.wallTime = device.wallTime;
  const made = late.migrate('create_table', 'old', { schemaVersion: 3 });
  const written = late.write({ table: 'old', pk: [2], set: { a: 'held' } });
  const renamed = late.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 4 });
  for (const order of permutations([made, written, renamed])) {
    // DDL of one device comes in its order, or what comes first counts.
    if (order.indexOf(renamed) < order.indexOf(made)) continue;
    const { manager } = await openEngine();
    await manager.apply(dropped);
    const { position } = manager;
    for (const changeSet of order) await manager.apply([changeSet]);
    assert.deepEqual(cellsIn(await takeSnapshot(manager)), [
      'new [2] a="held"'.replaceAll('"', ''),
    ]);
    const delivered = (await readAll(manager, position)).flatMap(({ changes }) => changes);
    const cells = new Set(delivered.map(({ table, pk }) => `${table} ${JSON.stringify(pk)}`));
    assert.deepEqual([...cells], ['new [2]'], 'a delta holds what a snapshot does');
  }
});

test('a rename of a table that was dropped brings nothing back', async () => {
  const device = new Device(1);
  const another = new Device(2, device.wallTime + 100);
  const { manager } = await openEngine();
  const changeSets = [
    device.write({ table: 'a', pk: [1], set: { x: 1 } }),
    device.migrate('rename_table', 'b', { fromTable: 'a' }),
    device.migrate('drop_table', 'b', { schemaVersion: 2 }),
    device.migrate('rename_table', 'a', { fromTable: 'b', schemaVersion: 3 }),
    // Of a device that has heard of none of this.
    another.write({ table: 'b', pk: [1], set: { x: 2 } }),
  ];
  for (const changeSet of changeSets) await manager.apply([changeSet]);
  assert.deepEqual(cellsIn(await takeSnapshot(manager)), []);
  const delivered = await readAll(manager);
  assert.deepEqual(
    delivered.flatMap(({ changes }) => changes),
    [],
  );
});

test('a table that has ended in itself, in a damaged store, is no endless loop', async () => {
  const device = new Device(1);
  const { manager, store } = await openEngine();
  await manager.apply([device.write({ pk: [1], set: { a: 1 } })]);
  await manager.close();
  const key = tableKey(1);
  const [bytes] = await store.getMany([key]);
  const { table: _table, ...record } = JSON.parse(Buffer.from(bytes ?? []).toString());
  await store.exclusive(async (transaction) => {
    transaction.put(key, Buffer.from(JSON.stringify({ ...record, into: 1, unsettled: true })));
  });
  const damaged = { code: 'STORE_DAMAGED' };
  await assert.rejects(async () => {
    const { manager } = await openEngine({ store });
    await manager.apply([device.write({ pk: [1], set: { a: 2 } })]);
  }, damaged);
});
