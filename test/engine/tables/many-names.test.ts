/** Tables that have had many names: what is asked about each of many changes does not read them all. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import { aliasesOf, OTHER_NAMES_MAX } from '../../../src/engine/tables/table-aliases.ts';
import { voidingOf } from '../../../src/engine/tables/voiding-ddl.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

const NAMES = 300;
const device = new Device(1);
let store: KVStore;
let drop: WireChangeSet;

before(async () => {
  const engine = await openEngine();
  store = engine.store;
  const renames = (table: string) => [
    device.migrate('create_table', `${table}0`),
    ...Array.from({ length: NAMES }, (_, i) =>
      device.migrate('rename_table', `${table}${i + 1}`, { fromTable: `${table}${i}` }),
    ),
  ];
  await engine.manager.apply([...renames('gone'), ...renames('live')]);
  drop = device.migrate('drop_table', `gone${NAMES}`);
  await engine.manager.apply([drop]);
});

/** A catalog that counts how often the DDL of a name, and the names of a table, are gone through. */
async function countedCatalog(from = store) {
  const catalog = await Catalog.load(from);
  const read = { slots: 0, names: 0 };
  const slotsOf = catalog.slotsOf.bind(catalog);
  catalog.slotsOf = (schema, table) => {
    read.slots++;
    return slotsOf(schema, table);
  };
  const namesOf = catalog.namesOf.bind(catalog);
  catalog.namesOf = function* (id) {
    for (const name of namesOf(id)) {
      read.names++;
      yield name;
    }
  };
  return { catalog, read };
}

test('the drop of a table is found under each of its names, and the DDL of each is read once', async () => {
  const { catalog, read } = await countedCatalog();
  const [dropped] = drop.schemaMigrations;
  assert.ok(dropped);
  const late = new Device(2, 1_600_000_000_000);
  for (let i = 0; i <= NAMES; i++) {
    const [change] = late.write({ table: `gone${i}`, pk: [i], set: { a: 1 } }).changes;
    assert.ok(change);
    assert.deepEqual(voidingOf(catalog).find(change, dropped.hlc), dropped);
  }
  assert.ok(read.slots <= NAMES + 1, `${read.slots} names`);
  assert.ok(read.names <= 5 * NAMES, `${read.names} names`);
});

test('the DDL that renames connect is collected once, for all of its names', async () => {
  const { catalog, read } = await countedCatalog();
  const late = new Device(2, 1_600_000_000_000);
  const lists = new Set<unknown>();
  for (let i = 1; i <= NAMES; i++) {
    const from = { fromTable: `live${i - 1}` };
    const [rename] = late.migrate('rename_table', `live${i}`, from).schemaMigrations;
    assert.ok(rename);
    for (const list of voidingOf(catalog).inTheWay(rename) ?? []) lists.add(list);
  }
  const [list, ...others] = lists as Set<WireChangeSet['schemaMigrations']>;
  assert.deepEqual([list?.length, others], [NAMES + 1, []]);
  assert.ok(read.slots <= 2 * (NAMES + 1), `${read.slots} names`);
  assert.ok(read.names <= NAMES + 1, `${read.names} names`);
});

test('where renames connect too much DDL it is not known what is in the way, and it is not read for each', async () => {
  const { store, manager } = await openEngine();
  const late = new Device(2, 1_600_000_000_000);
  const writer = new Device(3);
  const gone = writer.migrate('drop_table', 'gone');
  const from = { fromTable: 'gone' };
  const vain = Array.from({ length: 4001 }, (_, i) => late.migrate('rename_table', `to${i}`, from));
  await manager.apply([gone, ...vain]);
  const { catalog, read } = await countedCatalog(store);
  for (const [rename] of vain.map(({ schemaMigrations }) => schemaMigrations)) {
    assert.ok(rename);
    assert.equal(voidingOf(catalog).inTheWay(rename), undefined);
  }
  // Its own name and that which connects them, and once more for the one that came after too many.
  assert.ok(read.slots <= 3, `${read.slots} names`);
});

test('of the names of a table no more are listed than it takes to tell that there are too many', async () => {
  const { catalog, read } = await countedCatalog();
  const aliases = aliasesOf(catalog);
  const migrations = catalog.migrationsByHlc().filter(({ table }) => table.startsWith('live'));
  assert.equal(migrations.length, NAMES + 1);
  const count = OTHER_NAMES_MAX + 1;
  for (const migration of migrations) assert.equal(aliases.ofMigration(migration).length, count);
  for (let i = 0; i <= NAMES; i++) {
    const name = { schema: 'main', table: `live${i}`, hlc: device.hlc(device.wallTime) };
    const names = aliases.ofWritten(name);
    assert.equal(names.length, count);
    assert.ok(!names.includes(name.table));
  }
  assert.equal(aliases.ofTable({ schema: 'main', table: `live${NAMES}` }).length, count);
  assert.ok(read.names <= 4 * count * NAMES, `${read.names} names`);
});

test('tables of one name in many schemas are gone through once, not for each change', async () => {
  const { store, manager } = await openEngine();
  const SCHEMAS = 300;
  const schemas = Array.from({ length: SCHEMAS }, (_, i) => ({
    ...{ schema: `s${i}`, table: i % 2 ? 't' : 'T' },
    ...{ pk: [1], set: { a: 1 } },
  }));
  const writer = new Device(3);
  const made = writer.migrate('create_table', 't');
  const renamed = writer.migrate('rename_table', 'u', { fromTable: 't' });
  const again = writer.migrate('create_table', 't', { schemaVersion: 2 });
  await manager.apply([writer.write(...schemas), made, renamed, again]);
  const { catalog, read } = await countedCatalog(store);
  const aliases = aliasesOf(catalog);
  const name = { schema: 'main', table: 't' };
  const [live, past] = [writer.hlc(writer.wallTime), made.schemaMigrations[0]?.hlc ?? ''];
  for (let i = 0; i < SCHEMAS; i++) {
    assert.deepEqual(aliases.ofWritten({ ...name, hlc: live }), []);
    assert.deepEqual(aliases.ofWritten({ ...name, hlc: past }), ['u']);
    assert.deepEqual([...aliases.ofFolded('t')], []);
    assert.deepEqual([...aliases.ofFolded('u')], ['t']);
  }
  // A table that a name led to before is found anew whenever the name was asked about another.
  assert.ok(read.names <= 8 * SCHEMAS, `${read.names} names`);
});
