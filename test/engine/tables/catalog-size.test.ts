import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readHead } from '../../../src/engine/records/head.ts';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine, type TestEngine } from '../../support/engine.ts';

const catalogLimits = { tablesPerDatabase: 3, ddlBytesPerDatabase: 20_000 };
const rowsOf = (device: Device, ...tables: string[]) =>
  device.write(...tables.map((table) => ({ table, pk: [1], set: { a: 1 } })));

async function catalogOf({ store, manager }: TestEngine) {
  const { nextTable } = await readHead(store, manager.identity.siteIdText);
  return { catalog: await Catalog.load(store), nextTable };
}

test('more tables than there may be are refused, made by DDL or by rows, and a drop makes room', async () => {
  const engine = await openEngine({ catalogLimits });
  const { manager } = engine;
  const device = new Device(1);
  await manager.apply([device.migrate('create_table', 'a'), rowsOf(device, 'b', 'c')]);
  const tooMany = {
    code: 'TOO_LARGE',
    message: /^more than limits\.tablesPerDatabase \(3\) tables in one database: drop some/,
  };
  const before = await catalogOf(engine);
  await assert.rejects(manager.apply([device.migrate('create_table', 'd')]), tooMany);
  // Another of the same group is none the worse for it.
  const [refused, stored] = await Promise.allSettled([
    manager.apply([rowsOf(device, 'a', 'd')]),
    manager.apply([device.write({ table: 'a', pk: [2], set: { a: 1 } })]),
  ]);
  assert.equal(refused?.status, 'rejected');
  assert.equal(stored?.status, 'fulfilled');
  assert.deepEqual(await catalogOf(engine), before);
  await manager.apply([device.migrate('drop_table', 'b')]);
  assert.equal((await manager.apply([rowsOf(device, 'd')])).applied, 1);
  await assert.rejects(manager.apply([rowsOf(device, 'e')]), tooMany);
});

test('names that were used and dropped are bounded as well, and so is the text of DDL', async () => {
  const { manager } = await openEngine({ catalogLimits });
  const device = new Device(1);
  const useAndDrop = (name: string) =>
    manager.apply([rowsOf(device, name), device.migrate('drop_table', name)]);
  for (let i = 0; i < 30; i++) await useAndDrop(`t${i}`);
  await assert.rejects(useAndDrop('t30'), {
    code: 'TOO_LARGE',
    message: /limits\.tablesPerDatabase \(3\) .*10 times as many names/,
  });
  assert.equal((await manager.apply([rowsOf(device, 't0')])).applied, 1);
  const alter = device.migrate('add_column', 't0', { ddl: 'x'.repeat(20_000) });
  await assert.rejects(manager.apply([alter]), {
    code: 'TOO_LARGE',
    message: /^more than limits\.ddlBytesPerDatabase \(20000\) bytes of DDL/,
  });
});

test('the text of DDL counts in bytes, not in characters', async () => {
  const { manager } = await openEngine({ catalogLimits });
  const device = new Device(1);
  const alterWith = (character: string) =>
    manager.apply([device.migrate('add_column', 'a', { ddl: character.repeat(7000) })]);
  await assert.rejects(alterWith('€'), { limit: 'limits.ddlBytesPerDatabase' });
  assert.equal((await alterWith('x')).applied, 1);
});

test('a catalog that is too large already goes on with what it has', async () => {
  const { store, manager } = await openEngine();
  const device = new Device(1);
  await manager.apply([rowsOf(device, 'a', 'b', 'c', 'd', 'e')]);
  await manager.close();
  const limited = await openEngine({ store, catalogLimits });
  assert.equal(
    (await limited.manager.apply([device.write({ table: 'e', pk: [2], set: { a: 1 } })])).applied,
    1,
  );
  assert.equal((await limited.manager.apply([device.migrate('drop_table', 'e')])).applied, 1);
  await assert.rejects(limited.manager.apply([rowsOf(device, 'f', 'g')]), { code: 'TOO_LARGE' });
});

test('what was counted step by step is what is there, whatever devices did', async () => {
  const engine = await openEngine({
    catalogLimits: { tablesPerDatabase: 100, ddlBytesPerDatabase: 1e6 },
  });
  const { manager, store } = engine;
  const device = new Device(1);
  const steps = [
    device.migrate('create_table', 'a'),
    rowsOf(device, 'a', 'b', 'c'),
    device.migrate('add_column', 'a', { schemaVersion: 2, ddl: 'x'.repeat(50) }),
    device.migrate('rename_table', 'd', { fromTable: 'a', schemaVersion: 3 }),
    device.migrate('drop_table', 'b', { schemaVersion: 4 }),
    device.migrate('create_table', 'b', { schemaVersion: 5 }),
    rowsOf(device, 'b', 'a'),
    device.migrate('drop_table', 'd', { schemaVersion: 6 }),
    device.migrate('rename_table', 'e', { fromTable: 'zzz', schemaVersion: 7 }),
  ];
  const sizes: object[] = [];
  manager.onAppended(({ catalog }) => sizes.push({ ...catalog.size }));
  for (const step of steps) {
    await manager.apply([step]);
    const { size } = await Catalog.load(store);
    assert.deepEqual(sizes.at(-1) ?? size, { ...size });
  }
  assert.ok(sizes.length >= 7);
});

test('statements without any text are not free, and one table takes only so many', async () => {
  const { manager } = await openEngine({
    catalogLimits: { tablesPerDatabase: 10, ddlBytesPerDatabase: 700_000 },
  });
  const device = new Device(1);
  const versions = (table: string, count: number) =>
    Array.from({ length: count }, (_, schemaVersion) =>
      device.migrate('create_table', table, { ddl: '', schemaVersion }),
    );
  await assert.rejects(manager.apply(versions('a', 1001)), {
    code: 'TOO_LARGE',
    message: 'more than 1000 statements of one table',
  });
  assert.equal((await manager.apply(versions('a', 1000))).applied, 1000);
  await assert.rejects(manager.apply(versions('b', 500)), {
    code: 'TOO_LARGE',
    message: /^more than limits\.ddlBytesPerDatabase/,
  });
});
