import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import readOnly, { type ReadOnlyOptions } from '../../src/hooks/builtin/read-only.ts';
import type { ClientIdentity } from '../../src/hooks/types.ts';
import { type ChangeSet, decodeChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { beforeApply, CLIENT, changeSet, setUpModule, testChain } from './support.ts';

async function start(t: TestContext, options: ReadOnlyOptions) {
  const { hooks } = await setUpModule(t, readOnly, options);
  const chain = testChain([hooks]);
  const mayWrite = async (client: ClientIdentity, databaseId = 'db') => {
    const operation = { type: 'apply_changes', databaseId, changeCount: 1 } as const;
    try {
      await chain.authorize({ ...client, databaseId }, operation);
      return true;
    } catch (error) {
      assert.equal(Reflect.get(Object(error), 'code'), 'NOT_AUTHORIZED');
      return false;
    }
  };
  const apply = (client: ClientIdentity, ...sets: ChangeSet[]) => beforeApply(chain, client, sets);
  return { chain, mayWrite, apply };
}

const withClaims = (claims: unknown): ClientIdentity => ({ ...CLIENT, metadata: { claims } });

test('a database that is named can be read, and not written', async (t) => {
  const { chain, mayWrite } = await start(t, { databases: ['archive'] });
  assert.deepEqual(
    [await mayWrite(CLIENT, 'archive'), await mayWrite(CLIENT, 'db')],
    [false, true],
  );
  await chain.authorize(CLIENT, { type: 'get_snapshot', databaseId: 'archive' });
});

test('a claim says for whom: one value or a list, of a JWT or of another hook', async (t) => {
  const claim = { name: 'role', values: ['guest', 0] };
  const { mayWrite } = await start(t, { claim });
  for (const role of ['guest', ['x', 'guest'], 0]) {
    assert.equal(await mayWrite(withClaims({ role })), false);
    assert.equal(await mayWrite({ ...CLIENT, metadata: { role } }), false);
  }
  for (const claims of [{ role: 'editor' }, {}, null, { role: '0' }, { role: [['guest']] }]) {
    assert.equal(await mayWrite(withClaims(claims)), true, JSON.stringify(claims));
  }
});

test('unless says who may all the same, and nobody else is taken for one', async (t) => {
  const { mayWrite } = await start(t, { unless: { name: 'role', values: ['editor'] } });
  assert.equal(await mayWrite(withClaims({ role: ['editor'] })), true);
  const others = [CLIENT, withClaims({}), withClaims({ role: 'EDITOR' }), withClaims('role')];
  for (const client of others) assert.equal(await mayWrite(client), false);
  assert.equal(await mayWrite(withClaims(Object.create({ role: 'editor' }))), false);
});

test('a table that is named is left as it is, and the rest of the batch is stored', async (t) => {
  const { mayWrite, apply } = await start(t, { tables: ['log', 'aux.todo'] });
  assert.equal(await mayWrite(CLIENT), true, 'other tables can be written');
  const mixed = changeSet('1');
  mixed.changes.push(...changeSet('1', 'log').changes);
  const { approved, rejected } = await apply(CLIENT, mixed, changeSet('2', 'log'));
  assert.deepEqual(
    approved.flatMap(({ changes }) => changes.map(({ table }) => table)),
    ['todo'],
  );
  const log = {
    table: 'log',
    column: 'text',
    pk: [1],
    reason: 'log is read-only',
    code: 'READ_ONLY',
  };
  assert.deepEqual(rejected, [log, log]);
  const ofSchema = changeSet('3');
  for (const change of ofSchema.changes) change.schema = 'aux';
  assert.deepEqual((await apply(CLIENT, ofSchema)).approved, []);
});

test('DDL of a table that is named is refused as well, also a rename away from it', async (t) => {
  const { apply } = await start(t, { tables: ['log'] });
  const { hlc, siteId } = changeSet('1');
  const ddl = (type: 'drop_table' | 'rename_table', table: string, fromTable?: string) => ({
    ...{ type, schema: 'main', table, fromTable, ddl: type, hlc, schemaVersion: 1 },
  });
  const schemaMigrations = [
    ddl('drop_table', 'log'),
    ddl('rename_table', 'old', 'log'),
    ddl('rename_table', 'log', 'new'),
    ddl('drop_table', 'todo'),
  ];
  const set = { siteId, hlc, transactionId: '1', changes: [], schemaMigrations };
  const { approved, rejected } = await apply(CLIENT, set);
  const left = approved.flatMap((each) => each.schemaMigrations.map(({ table }) => table));
  assert.deepEqual(left, ['todo']);
  assert.deepEqual(
    rejected.map(({ table, code }) => [table, code]),
    [
      ['log', 'READ_ONLY'],
      ['old', 'READ_ONLY'],
      ['log', 'READ_ONLY'],
    ],
  );
});

test('tables, databases and claims narrow one another', async (t) => {
  const claim = { name: 'role', values: ['guest'] };
  const { apply } = await start(t, { tables: ['todo'], databases: ['db'], claim });
  const guest = withClaims({ role: 'guest' });
  const isStored = async (client: ClientIdentity) =>
    (await apply(client, changeSet('1'))).approved.length === 1;
  assert.equal(await isStored(guest), false);
  assert.equal(await isStored(CLIENT), true);
  assert.equal(await isStored({ ...guest, databaseId: 'other' }), true);
});

test('what is one table to SQL is one table, by whatever name or text DDL comes to it', async (t) => {
  const { apply } = await start(t, { tables: ['Prices', 'main.rates'] });
  const wire = new Device(1);
  const refused = [
    ...['prices', 'PRICES'].map((table) => wire.write({ table, pk: [1], set: { a: 1 } })),
    ...['', 'MAIN', 'main'].map((schema) =>
      wire.write({ schema, table: 'RATES', pk: [1], set: { a: 1 } }),
    ),
    wire.migrate('drop_table', 'PRICES'),
    wire.migrate('rename_table', 'x', { fromTable: 'pRices' }),
    wire.migrate('rename_table', 'pRices', { fromTable: 'x' }),
    wire.migrate('add_column', 'x', { ddl: 'ALTER TABLE "prices" ADD COLUMN a TEXT' }),
    wire.migrate('alter_column', 'x', { ddl: 'SELECT 1; drop table main.[Rates]' }),
    wire.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON prices (a)' }),
  ];
  const passed = [
    wire.write({ schema: 'other', table: 'rates', pk: [1], set: { a: 1 } }),
    wire.migrate('create_table', 'x', { ddl: 'CREATE TABLE x (prices TEXT REFERENCES prices(a))' }),
  ];
  const { approved, rejected } = await apply(
    CLIENT,
    ...[...refused, ...passed].map(decodeChangeSet),
  );
  assert.deepEqual(
    rejected.map(({ code }) => code),
    refused.map(() => 'READ_ONLY'),
  );
  const left = approved.filter((set) => set.changes.length + set.schemaMigrations.length > 0);
  assert.deepEqual(
    left.map(({ transactionId }) => transactionId),
    passed.map(({ transactionId }) => transactionId),
  );
});

test('no text of DDL hides the name of a table, whatever stands around it', async (t) => {
  const { apply } = await start(t, { tables: ['prices'] });
  const wire = new Device(1);
  const refused = [
    'CREATE TABLE x AS SELECT * FROM \uFEFFprices',
    'CREATE TABLE x AS SELECT * FROM\u2003prices\u200b',
    'CREATE TABLE x AS SELECT * FROM t column, prices',
    'CREATE TABLE x (a) AS (TABLE prices)',
    'CREATE TABLE x (LIKE prices)',
    'CREATE TABLE x (a CHECK (a IN (TABLE prices)))',
    'CREATE VIRTUAL TABLE x USING fts5(content=prices)',
    'CREATE TABLE x (a); CREATE TABLE y (a); ALTER TABLE y RENAME TO prices',
    'CREATE TABLE x (a; DROP TABLE prices',
    'ALTER TABLE column RENAME TO prices',
    'ALTER TABLE x ADD COLUMN prices TEXT',
    'ALTER TABLE x ADD prices; SELECT 1',
    'WITH q AS (UPDATE prices SET p=1 RETURNING p) VALUES (1)',
    'COPY (TABLE prices) TO STDOUT',
    'EXPLAIN (UPDATE prices SET p=1)',
    "DROP TABLE 'prices'",
    // Engines read these in different ways.
    'DROP TABLE U&"\\0070rices"',
    'DO $$ BEGIN DROP TABLE prices$$',
    "DO $a$ EXECUTE 'DROP TABLE pri' || 'ces' $a$",
    "SELECT E'\\'' FROM prices, 'x'",
    'SELECT ARRAY[(SELECT p FROM prices)]',
    "SELECT ARRAY['x]', (SELECT p FROM prices), ''",
    '-- x\rDROP TABLE prices',
    "/* /* */ ' */ DROP TABLE prices; -- '",
  ].map((ddl) => wire.migrate('create_table', 'x', { ddl }));
  const passed = [
    'CREATE TABLE x (a INT[3], prices TEXT REFERENCES prices(a), b DECIMAL(1, 2)) STRICT;',
    'CREATE TEMP TABLE IF NOT EXISTS main."x" (\r\n "prices" -- of prices\r\n)',
    "ALTER TABLE x ADD COLUMN a TEXT DEFAULT 'it''s $1 /* */' /* prices */",
    'CREATE INDEX i ON [x] (`a`)',
    'CREATE TABLE prices2 (a)',
  ].map((ddl) => wire.migrate('create_table', 'x', { ddl }));
  for (const set of refused) {
    const { rejected } = await apply(CLIENT, decodeChangeSet(set));
    assert.equal(rejected[0]?.code, 'READ_ONLY', set.schemaMigrations[0]?.ddl);
  }
  for (const set of passed) {
    const { rejected } = await apply(CLIENT, decodeChangeSet(set));
    assert.deepEqual(rejected, [], set.schemaMigrations[0]?.ddl);
  }
});
