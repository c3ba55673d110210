import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Type } from 'typebox';
import validateSchema, {
  type ValidateSchemaOptions,
} from '../../src/hooks/builtin/validate-schema.ts';
import { type Change, decodeChangeSet } from '../../src/protocol/types.ts';
import type { SqlValue } from '../../src/protocol/values.ts';
import { Device } from '../../src/testing/device.ts';
import { beforeApply, CLIENT, changeSet, setUpModule, testChain } from './support.ts';

const TASKS = Type.Object({
  title: Type.String({ minLength: 1, maxLength: 20 }),
  done: Type.Union([Type.Boolean(), Type.Null()]),
  rank: Type.Integer({ minimum: 0 }),
  photo: Type.String({ contentEncoding: 'base64' }),
  tags: Type.Array(Type.String()),
});

async function start(t: TestContext, options: ValidateSchemaOptions) {
  const { hooks } = await setUpModule(t, validateSchema, options);
  const chain = testChain([hooks]);
  /** The reason for which a value of a column is rejected, if it is. */
  const reasonFor = async (column: string, value: SqlValue, table = 'tasks') => {
    const set = changeSet('1', table);
    const [change] = set.changes;
    set.changes = [{ ...change, column, value } as Change];
    const { rejected } = await beforeApply(chain, CLIENT, [set]);
    assert.ok(rejected.every(({ code }) => code === 'SCHEMA'));
    return rejected[0]?.reason;
  };
  return { chain, reasonFor };
}

test('each value is judged by the schema of its column, as SQL has values', async (t) => {
  const { reasonFor } = await start(t, { tables: { tasks: TASKS } });
  const fine: [string, SqlValue][] = [
    ['title', 'Buy milk'],
    ['done', true],
    ['done', null],
    ['rank', 3],
    ['rank', 3n],
    ['rank', 2n ** 80n],
    ['photo', Uint8Array.of(1, 2)],
    ['tags', ['a', 'b']],
    ['unnamed', 'anything'],
  ];
  for (const [column, value] of fine)
    assert.equal(await reasonFor(column, value), undefined, column);
  const wrong: [string, SqlValue, RegExp][] = [
    ['title', '', /fewer/],
    ['title', 'x'.repeat(1000), /^.{1,200}$/],
    ['title', null, /string/],
    ['title', Uint8Array.of(1), /must not be bytes/],
    ['done', 1, /./],
    ['rank', 1.5, /integer/],
    ['rank', -1n, />= 0/],
    ['rank', -(2n ** 80n), />= 0/],
    ['photo', 'AAAA', /must be bytes/],
    ['tags', ['a', 1], /\[1\] must be string/],
  ];
  for (const [column, value, reason] of wrong) {
    assert.match((await reasonFor(column, value)) ?? '', reason, `${column} = ${String(value)}`);
  }
});

test('a plain JSON Schema does as well, and may know all its columns', async (t) => {
  const tasks = {
    type: 'object',
    properties: { title: { type: ['string', 'null'] } },
    additionalProperties: false,
  };
  const { reasonFor } = await start(t, { tables: { 'main.tasks': tasks } });
  assert.equal(await reasonFor('title', null), undefined);
  assert.match((await reasonFor('title', 1)) ?? '', /string/);
  assert.equal(await reasonFor('titel', 'x'), 'there is no column titel');
  assert.equal(await reasonFor('titel', 'x', 'other'), undefined);
});

test('tables without a schema can be refused', async (t) => {
  const { reasonFor } = await start(t, { tables: { tasks: TASKS }, unknownTables: 'reject' });
  assert.equal(await reasonFor('x', 1, 'other'), 'there is no table other');
  assert.equal(await reasonFor('x', 1, 'constructor'), 'there is no table constructor');
});

for (const atomic of [true, false]) {
  test(`atomic: ${atomic}: one wrong value and the rest of its transaction`, async (t) => {
    const { chain } = await start(t, { tables: { tasks: TASKS }, atomic });
    const [good, bad] = [changeSet('1', 'tasks'), changeSet('2', 'tasks')];
    const [change] = bad.changes;
    const hlcs = [1n, 2n, 3n].map((wallTime) => ({ ...bad.hlc, wallTime }));
    const titled = (value: string, i: number) =>
      ({ ...change, column: 'title', value, hlc: hlcs[i] }) as Change;
    bad.changes = [titled('fine', 0), titled('', 1)];
    good.changes = [titled('also fine', 2)];
    const { approved, rejected } = await beforeApply(chain, CLIENT, [bad, good]);
    const values = approved.flatMap(({ changes }) => changes.map((c) => Reflect.get(c, 'value')));
    assert.deepEqual(values, atomic ? ['also fine'] : ['fine', 'also fine']);
    assert.equal(rejected[0]?.column, 'title');
  });
}

test('deletes pass, for they write no value', async (t) => {
  const { chain } = await start(t, { tables: { tasks: TASKS } });
  const set = changeSet('1', 'tasks');
  const { hlc } = set;
  set.changes = [{ type: 'delete', schema: 'main', table: 'tasks', pk: [1], hlc }];
  assert.equal((await beforeApply(chain, CLIENT, [set])).approved.length, 1);
});

test('a schema that is none fails the start, with its table and column', async (t) => {
  const wrong: [unknown, RegExp][] = [
    [{ tasks: { type: 'object' } }, /table tasks has no properties/],
    [{ tasks: { properties: { title: 'text' } } }, /column tasks\.title is wrong: it is no schema/],
    [{ tasks: { properties: { title: { pattern: '(' } } } }, /column tasks\.title is wrong/],
  ];
  for (const [tables, message] of wrong) {
    await assert.rejects(setUpModule(t, validateSchema, { tables }), message);
  }
});

test('no name, spelling or text of DDL brings rows to a table unchecked', async (t) => {
  const tables = { tasks: TASKS, Jobs: TASKS, other: Type.Object({ a: Type.String() }) };
  const { chain, reasonFor } = await start(t, { tables });
  for (const table of ['Tasks', 'TASKS', 'jobs']) {
    assert.ok(await reasonFor('rank', 'not a number', table), table);
  }
  assert.ok(await reasonFor('RANK', 'not a number', 'tasks'));
  const device = new Device(1);
  const rename = (fromTable: string, table: string) =>
    device.migrate('rename_table', table, {
      fromTable,
      ddl: `ALTER TABLE "${fromTable}" RENAME TO ${table}`,
    });
  const refused = [
    rename('tasks', 'free'),
    rename('free', 'TASKS'),
    rename('other', 'tasks'),
    device.migrate('add_column', 'tasks', { ddl: 'alter table tasks rename to free' }),
    device.migrate('add_column', 'free', { ddl: 'ALTER TABLE free RENAME TO "Tasks"' }),
    device.migrate('create_table', 'free', { ddl: 'CREATE TABLE free (a); DROP TABLE tasks' }),
    ...[
      'INSERT INTO tasks SELECT * FROM staging',
      'CREATE TRIGGER i AFTER INSERT ON free BEGIN UPDATE tasks SET rank = -1; END',
      'UPDATE tasks SET rank = -1',
      'CREATE INDEX i ON tasks (due); DROP TABLE staging; ALTER TABLE x RENAME TO y',
    ].map((ddl) => device.migrate('add_index', 'i', { ddl })),
    ...[
      'INSERT INTO tasks SELECT * FROM staging',
      'REPLACE INTO tasks VALUES (1, -1)',
      'ALTER TABLE tasks RENAME COLUMN x TO rank',
      'ALTER TABLE tasks ADD y INT, RENAME COLUMN x TO rank',
      "CREATE VIRTUAL TABLE tasks USING fts5 (title, content='staging')",
      'CREATE TABLE tasks AS FROM staging',
      'CREATE TABLE tasks FROM staging',
      "CREATE TABLE tasks USING csv ('staging.csv')",
      'CREATE TABLE tasks PARTITION OF staging DEFAULT',
      "CREATE FOREIGN TABLE tasks (title TEXT) SERVER staging OPTIONS (table_name 'staging')",
      'CREATE TABLE tasks (title TEXT, rank INT AS (title))',
      'ALTER TABLE tasks RENAME x TO rank',
      'CREATE TABLE tasks AS SELECT * FROM staging',
      'CREATE TABLE tasks AS TABLE staging',
      'WITH q AS (TABLE staging) TABLE q',
      'ALTER TABLE tasks ADD COLUMN due TEXT; DELETE FROM tasks',
    ].map((ddl) => device.migrate('alter_column', 'tasks', { ddl })),
    ...[
      'ALTER TABLE staging RENAME TO tasks',
      'ALTER TABLE aa RENAME TO bb; ALTER TABLE tasks ADD COLUMN due TEXT',
    ].map((ddl) => device.migrate('rename_table', 'bb', { fromTable: 'aa', ddl })),
    device.migrate('rename_table', 'jobs', {
      fromTable: 'tasks',
      ddl: 'ALTER TABLE staging RENAME TO jobs',
    }),
  ];
  const passed = [
    rename('tasks', 'JOBS'),
    rename('free', 'free2'),
    device.migrate('add_column', 'tasks', { ddl: 'ALTER TABLE tasks ADD COLUMN due TEXT' }),
    device.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON tasks (due)' }),
    device.migrate('create_table', 'tasks', {
      ddl: 'CREATE TABLE tasks (title, "values" TEXT, values TEXT, j REFERENCES jobs ON DELETE CASCADE)',
    }),
    device.migrate('add_column', 'tasks', {
      ddl: 'ALTER TABLE tasks ADD COLUMN j INT REFERENCES jobs (id) ON UPDATE CASCADE;',
    }),
    device.migrate('drop_table', 'tasks', { ddl: 'BEGIN; DROP TABLE IF EXISTS tasks; COMMIT' }),
    device.migrate('rename_table', 'x', { fromTable: 'y', ddl: 'alter table y rename to x' }),
  ];
  const sets = [...refused, ...passed].map(decodeChangeSet);
  const { approved, rejected } = await beforeApply(chain, CLIENT, sets);
  assert.deepEqual(
    rejected.map(({ code, table }) => [code, table]),
    refused.map(({ schemaMigrations }) => ['SCHEMA', schemaMigrations[0]?.table]),
  );
  assert.equal(approved.flatMap(({ schemaMigrations }) => schemaMigrations).length, passed.length);
});

test('where other tables are refused, so is their DDL', async (t) => {
  const { chain } = await start(t, { tables: { tasks: TASKS }, unknownTables: 'reject' });
  const device = new Device(1);
  const sets = [
    device.migrate('create_table', 'x'),
    device.migrate('create_table', 'Tasks', { ddl: 'CREATE TABLE Tasks (a)' }),
  ];
  const { rejected } = await beforeApply(chain, CLIENT, sets.map(decodeChangeSet));
  assert.deepEqual(
    rejected.map(({ table, reason }) => [table, reason]),
    [['x', 'there is no table x']],
  );
});
