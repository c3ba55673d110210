import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import ddl, { type DdlOptions } from '../../src/hooks/builtin/ddl.ts';
import type { ClientIdentity } from '../../src/hooks/types.ts';
import type { MigrationType } from '../../src/protocol/constants.ts';
import { decodeChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { beforeApply, CLIENT, setUpModule, testChain } from './support.ts';

const device = new Device(1);

type Ddl = [type: MigrationType, table: string, ddl: string, fromTable?: string];

async function start(t: TestContext, options: DdlOptions) {
  const { hooks } = await setUpModule(t, ddl, options);
  const chain = testChain([hooks]);
  return async (client: ClientIdentity, ...[type, table, text, fromTable]: Ddl) => {
    const more = { ddl: text, ...(fromTable === undefined ? {} : { fromTable }) };
    const set = decodeChangeSet(device.migrate(type, table, more));
    const { approved, rejected } = await beforeApply(chain, client, [set]);
    const isStored = approved.some(({ schemaMigrations }) => schemaMigrations.length === 1);
    const codes = rejected.map(({ code }) => code);
    assert.deepEqual(codes, isStored ? [] : ['DDL_NOT_ALLOWED']);
    return isStored;
  };
}

const FINE: Ddl[] = [
  [
    'create_table',
    'tasks',
    'CREATE TABLE IF NOT EXISTS Tasks (id INT, up INT REFERENCES tasks (id))',
  ],
  ['add_column', 'TASKS', 'ALTER TABLE "tasks" ADD COLUMN due TEXT'],
  ['add_index', 'i', 'CREATE UNIQUE INDEX i ON main.tasks (due)'],
];

test('without a rule nobody may do anything, and rows are not its business', async (t) => {
  const mayDo = await start(t, {});
  for (const each of FINE) assert.equal(await mayDo(CLIENT, ...each), false);
  const { hooks } = await setUpModule(t, ddl);
  const set = decodeChangeSet(device.write({ pk: [1], set: { a: 1 } }));
  const { rejected } = await beforeApply(testChain([hooks]), CLIENT, [set]);
  assert.deepEqual(rejected, []);
});

test('a rule without types and tables allows everything to whom it is about', async (t) => {
  const mayDo = await start(t, {
    allow: [{ users: ['ann'], databases: ['db'] }, { claim: { name: 'role', values: ['admin'] } }],
  });
  const anything: Ddl = ['alter_column', 'tasks', 'PRAGMA x; INSERT INTO tasks SELECT * FROM u'];
  assert.equal(await mayDo(CLIENT, ...anything), true);
  assert.equal(await mayDo({ ...CLIENT, databaseId: 'other' }, ...anything), false);
  const ben = { ...CLIENT, userId: 'ben' };
  assert.equal(await mayDo(ben, ...anything), false);
  assert.equal(await mayDo({ ...ben, metadata: { role: 'admin' } }, ...anything), true);
  const { userId: _, ...nobody } = CLIENT;
  assert.equal(await mayDo(nobody, ...anything), false);
});

test('types and tables hold for what a migration says, and for what its text does', async (t) => {
  const mayDo = await start(t, {
    allow: [{ types: ['create_table', 'add_column', 'add_index'], tables: ['tasks'] }],
  });
  for (const each of FINE) assert.equal(await mayDo(CLIENT, ...each), true, each[2]);
  const refused: Ddl[] = [
    ['drop_table', 'tasks', 'DROP TABLE tasks'],
    ['create_table', 'notes', 'CREATE TABLE notes (id)'],
    ['rename_table', 'tasks', 'ALTER TABLE notes RENAME TO tasks', 'notes'],
    ['create_table', 'tasks', 'DROP TABLE tasks'],
    ['create_table', 'tasks', 'CREATE TABLE tasks (id); DROP TABLE tasks'],
    ['create_table', 'tasks', 'CREATE TABLE notes (id)'],
    ['create_table', 'tasks', 'CREATE OR REPLACE TABLE tasks (id)'],
    ['create_table', 'tasks', 'CREATE TABLE tasks AS SELECT * FROM notes'],
    ['add_column', 'tasks', 'ALTER TABLE tasks ADD a TEXT, DROP COLUMN b'],
    ['add_column', 'tasks', 'ALTER TABLE notes ADD a TEXT'],
    ['add_column', 'tasks', 'ALTER TABLE tasks RENAME TO x'],
    ['add_column', 'tasks', 'ALTER TABLE tasks SET SCHEMA x'],
    ['add_column', 'tasks', 'UPDATE tasks SET a = 1'],
    ['add_column', 'tasks', 'ALTER TABLE tasks ADD a INT REFERENCES notes'],
    ['add_column', 'tasks', 'ALTER TABLE tasks ADD CHECK (false)'],
    ['create_table', 'tasks', 'CREATE TABLE tasks (id INT REFERENCES notes (id))'],
    ['create_table', 'tasks', 'CREATE TABLE tasks PARTITION OF notes DEFAULT'],
    ['create_table', 'tasks', 'CREATE TABLE tasks (LIKE notes)'],
    ['create_table', 'tasks', 'CREATE TABLE tasks (a) INHERITS (notes)'],
    ['add_index', 'i', 'CREATE INDEX i ON notes (a)'],
    ['add_index', 'i', 'CREATE INDEX of_notes ON tasks (a)'],
    ['add_index', 'of_notes', 'CREATE INDEX i ON tasks (a)'],
    ['add_index', 'i', ''],
    ['add_index', 'i', 'CREATE INDEX i'],
    [
      'create_table',
      'tasks',
      'CREATE TRIGGER x AFTER INSERT ON tasks BEGIN DELETE FROM notes; END',
    ],
  ];
  for (const each of refused) assert.equal(await mayDo(CLIENT, ...each), false, each[2]);
});

test('tables may say their schema, and a text that names another one is of that', async (t) => {
  const mayDo = await start(t, { allow: [{ tables: ['main.tasks', 'old'] }] });
  assert.equal(await mayDo(CLIENT, 'drop_table', 'tasks', 'DROP TABLE IF EXISTS tasks'), true);
  assert.equal(await mayDo(CLIENT, 'drop_table', 'tasks', 'DROP TABLE aux.tasks'), false);
  assert.equal(await mayDo(CLIENT, 'drop_table', 'tasks', 'DROP TABLE tasks, notes'), false);
  const rename: Ddl = ['rename_table', 'tasks', 'ALTER TABLE old RENAME TO tasks', 'old'];
  assert.equal(await mayDo(CLIENT, ...rename), true);
  assert.equal(await mayDo(CLIENT, 'alter_column', 'old', 'ALTER TABLE old RENAME a TO b'), true);
  // It may be an index of any table, but where its text says of which.
  assert.equal(await mayDo(CLIENT, 'drop_index', 'i', 'DROP INDEX i'), false);
  assert.equal(await mayDo(CLIENT, 'drop_index', 'i', 'DROP INDEX i ON notes'), false);
  assert.equal(await mayDo(CLIENT, 'drop_index', 'i', 'DROP INDEX i ON old'), true);
});

test('foreign keys refer to tables of the rule, or to those that it lets be referred to', async (t) => {
  const mayDo = await start(t, { allow: [{ tables: ['tasks'], references: ['lists'] }] });
  const refer = (table: string) => `CREATE TABLE tasks (l INT REFERENCES ${table} (id))`;
  assert.equal(await mayDo(CLIENT, 'create_table', 'tasks', refer('lists')), true);
  assert.equal(await mayDo(CLIENT, 'create_table', 'tasks', refer('other.lists')), false);
  assert.equal(await mayDo(CLIENT, 'create_table', 'tasks', refer('notes')), false);
  assert.equal(await mayDo(CLIENT, 'drop_table', 'lists', 'DROP TABLE lists'), false);
});

test('what is refused takes its transaction with it, unless it is told not to', async (t) => {
  for (const [options, left] of [
    [{}, 0],
    [{ atomic: false }, 1],
  ] as const) {
    const { hooks } = await setUpModule(t, ddl, options);
    const chain = testChain([hooks]);
    const set = device.write({ pk: [1], set: { a: 1 } });
    set.schemaMigrations.push(...device.migrate('create_table', 't').schemaMigrations);
    const { approved, rejected } = await beforeApply(chain, CLIENT, [decodeChangeSet(set)]);
    assert.equal(approved.flatMap(({ changes }) => changes).length, left);
    assert.equal(rejected[0]?.code, 'DDL_NOT_ALLOWED');
  }
});

test('a table that is named without a schema is that of main, and of no other', async (t) => {
  const types = ['create_table', 'add_column', 'drop_table'] as const;
  const mayDo = await start(t, { allow: [{ types: [...types], tables: ['tasks'] }] });
  for (const [type, text] of [
    ['create_table', 'CREATE TABLE other.tasks (a)'],
    ['drop_table', 'DROP TABLE other.tasks'],
    ['add_column', 'ALTER TABLE other.tasks ADD COLUMN b'],
  ] as const) {
    assert.equal(await mayDo(CLIENT, type, 'tasks', text), false, text);
    assert.equal(await mayDo(CLIENT, type, 'tasks', text.replace('other.', '')), true, text);
  }
  const elsewhere = decodeChangeSet(
    device.migrate('create_table', 'tasks', { schema: 'other' } as object),
  );
  const { hooks } = await setUpModule(t, ddl, { allow: [{ tables: ['tasks'] }] });
  assert.equal((await beforeApply(testChain([hooks]), CLIENT, [elsewhere])).rejected.length, 1);
});
