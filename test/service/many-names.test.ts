/** A table may have had many names, and a client may write much to it. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { OTHER_NAMES_MAX, type TableAliases } from '../../src/engine/tables/table-aliases.ts';
import { Lineage } from '../../src/hooks/verdicts/lineage.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import { judgeUnderAllNames } from '../../src/service/apply/incoming-names.ts';
import { askUnderAllNames } from '../../src/service/delivery/former-names.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';
import { turnsDuring } from '../support/turns.ts';

const NAMES = 60;
const COUNT = 5000;

const device = new Device(1);
let aliases: TableAliases;
let batch: WireChangeSet;

before(async () => {
  const { manager } = await openEngine();
  const rename = (i: number) => {
    const [fromTable, table] = [`t${i}`, `t${i + 1}`];
    const ddl = `ALTER TABLE ${fromTable} RENAME TO ${table}`;
    return device.migrate('rename_table', table, { fromTable, ddl, schemaVersion: i + 2 });
  };
  await manager.apply([device.migrate('create_table', 't0', { ddl: 'CREATE TABLE t0 (a)' })]);
  for (let i = 0; i < NAMES; i++) await manager.apply([rename(i)]);
  ({ aliases } = manager.tables);
  const rows = Array.from({ length: COUNT }, (_, i) => ({
    table: `t${NAMES}`,
    pk: [i],
    set: { a: 1 },
  }));
  batch = device.write(...rows);
});

const verdict = () => ({ approved: [batch], rejected: [], lineage: new Lineage() });

test('what modules leave alone is not even renamed, and all names are asked about', async () => {
  let asked = 0;
  const { approved } = await judgeUnderAllNames(verdict(), aliases, async (sets) => {
    asked++;
    // As if a module had not looked at the changes.
    for (const set of sets) Object.defineProperty(set, 'changes', { get: () => assert.fail() });
    return { approved: sets, rejected: [], lineage: new Lineage() };
  });
  assert.equal(asked, NAMES);
  assert.equal(approved[0], batch);
});

test('others have their turn while a long batch is judged under many names', async () => {
  const names = new Set<string | undefined>();
  const { turns, result } = await turnsDuring(() =>
    judgeUnderAllNames(verdict(), aliases, async (sets) => {
      names.add(sets[0]?.changes[0]?.table);
      const approved = sets.map((set) => ({ ...set, changes: set.changes.slice(1) }));
      return { approved, rejected: [], lineage: new Lineage() };
    }),
  );
  assert.equal(names.size, NAMES);
  assert.equal(result.approved[0]?.changes.length, COUNT - NAMES);
  assert.ok(turns > (NAMES * COUNT) / 1000, `${turns}`);
});

test('others have their turn while much is filtered under many names', async () => {
  const { turns, result } = await turnsDuring(() =>
    askUnderAllNames([batch], aliases, async (sets) =>
      sets.map((set) => ({ ...set, changes: set.changes.slice(1) })),
    ),
  );
  assert.equal(result[0]?.changes.length, COUNT - NAMES - 1);
  assert.ok(turns > NAMES, `${turns}`);
});

/** DDL of a table of many names. */
function manyColumns(): WireChangeSet[] {
  return Array.from({ length: 5 * NAMES }, (_, i) =>
    device.migrate('add_column', `t${NAMES}`, { schemaVersion: NAMES + i + 2 }),
  );
}

test('others have their turn while the DDL of a table of many names is filtered', async () => {
  const ddl = manyColumns();
  const ask = async (sets: readonly WireChangeSet[]) => sets;
  const { turns, result } = await turnsDuring(() => askUnderAllNames(ddl, aliases, ask));
  assert.deepEqual(result, ddl);
  assert.ok(turns > (NAMES * ddl.length) / 1000, `${turns}`);
});

test('of each change and migration that is filtered the names are looked up once', async () => {
  const ddl = manyColumns();
  const looked = { changes: 0, migrations: 0 };
  const ofTable = (change: WireChange) => {
    looked.changes++;
    return aliases.ofTable(change);
  };
  const ofMigration = (migration: WireMigration) => {
    looked.migrations++;
    return aliases.ofMigration(migration);
  };
  const counting = Object.assign(Object.create(aliases), { ofTable, ofMigration });
  let asked = 0;
  const left = await askUnderAllNames([batch, ...ddl], counting, async (sets) => {
    asked++;
    return sets;
  });
  assert.equal(asked, 1 + NAMES);
  assert.deepEqual(left, [batch, ...ddl]);
  assert.deepEqual(looked, { changes: COUNT, migrations: ddl.length });
});

test('DDL that is too long to be read is judged under the names of all tables', async () => {
  const ddl = `CREATE TABLE x (a); ${'--'.repeat(200_000)}`;
  const migration = device.migrate('create_table', 'x', { ddl });
  let asked = '';
  const judged = { approved: [migration], rejected: [], lineage: new Lineage() };
  await judgeUnderAllNames(judged, aliases, async (sets) => {
    for (const { schemaMigrations } of sets) asked += schemaMigrations[0]?.ddl.slice(0, 30);
    return { approved: sets, rejected: [], lineage: new Lineage() };
  });
  for (let i = 0; i < NAMES; i++) assert.ok(asked.includes(`ALTER TABLE "t${i}"`), `t${i}`);
});

test('of what a text names no more names are found than it takes to tell that there are too many', async () => {
  const { manager } = await openEngine();
  const tables = Array.from({ length: 3 * OTHER_NAMES_MAX }, (_, i) => `u${i}`);
  const renamed = tables.flatMap((table) => [
    device.migrate('create_table', `old_${table}`),
    device.migrate('rename_table', table, { fromTable: `old_${table}` }),
  ]);
  await manager.apply([...renamed, device.migrate('create_table', 'plain')]);
  const named = manager.tables.aliases;
  let asked = 0;
  const ofFolded = named.ofFolded.bind(named);
  named.ofFolded = (name) => {
    asked++;
    return ofFolded(name);
  };
  for (const ddl of [tables.join(), `${tables.join()} ${'--'.repeat(200_000)}`]) {
    asked = 0;
    const migration = device.migrate('add_column', 'x', { ddl });
    const judged = { approved: [migration], rejected: [], lineage: new Lineage() };
    const { approved } = await judgeUnderAllNames(judged, named, async (sets) => {
      return { approved: sets, rejected: [], lineage: new Lineage() };
    });
    assert.deepEqual(approved, []);
    assert.ok(asked <= OTHER_NAMES_MAX + 2, `${asked} names`);
  }
});
