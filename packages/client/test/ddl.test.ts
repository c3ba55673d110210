/** DDL on the replica, told by and to a real server: what names mean, and where rows are. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startCoordinator } from '../../../src/testing/index.ts';
import { createEnvironment } from '../src/environment.ts';
import type { MigrationInput, SyncClient } from '../src/index.ts';
import {
  OutlivingStore,
  Socket,
  startClient,
  synced,
  until,
  untilTable,
} from './support/client.ts';

/** Several times what the server moves in one step. */
const HELD_ROWS = 2_000;

const create = (table: string, schemaVersion?: number): MigrationInput => ({
  ...{ type: 'create_table', table, ddl: `create table ${table}` },
  ...(schemaVersion !== undefined && { schemaVersion }),
});
const drop = (table: string): MigrationInput => ({
  ...{ type: 'drop_table', table, ddl: `drop table ${table}` },
});
const rename = (fromTable: string, table: string): MigrationInput => ({
  ...{ type: 'rename_table', table, fromTable, ddl: `alter table ${fromTable} rename to ${table}` },
});

/** @param annNow the clock of the first one */
async function startTwo(t: TestContext, annNow = Date.now): Promise<[SyncClient, SyncClient]> {
  const { wsUrl: url } = await startCoordinator(t);
  const environment = { ...createEnvironment({ WebSocket: Socket }), now: annNow };
  const ann = await startClient(t, { url, environment });
  const ben = await startClient(t, { url });
  await Promise.all([synced(ann), synced(ben)]);
  return [ann, ben];
}

/** A table is dropped by one device, and made again by the other, later and unaware of that. */
async function startWithUnheardDrop(t: TestContext) {
  let aheadMs = 0;
  const [ann, ben] = await startTwo(t, () => Date.now() + aheadMs);
  ann.migrate(create('tasks'));
  await inStep(ann, ben);
  ben.disconnect();
  const dropped = ben.migrate(drop('tasks'));
  aheadMs = 1000;
  await ann.migrate(create('tasks')).settled;
  return { ann, ben, dropped };
}

function set(client: SyncClient, table: string, id: number, title: string) {
  return client.transact((tx) => tx.table(table).set([id], { title }));
}

function titles(client: SyncClient, table: string): Record<string, unknown> {
  const rows = client.table<{ title: string }>(table).all();
  return Object.fromEntries(rows.map(({ pk, row }) => [pk[0], row.title]));
}

/** Resolves once each has what the others wrote: nothing is on its way. */
async function inStep(...clients: SyncClient[]): Promise<void> {
  const mark = `${Math.random()}`;
  for (const [i, client] of clients.entries()) {
    await synced(client);
    await set(client, mark, i, 'here').settled;
  }
  const hasAll = (client: SyncClient) => client.table(mark).all().length === clients.length;
  await Promise.all(clients.map((client) => until(client, () => hasAll(client))));
}

test('tables are made by one device and known to the others, said again without a second entry', async (t) => {
  const [ann, ben] = await startTwo(t);
  let told = 0;
  ben.subscribeMigrations(() => told++);
  assert.equal(await ann.migrate(create('tasks')).settled, 'acknowledged');
  await inStep(ann, ben);
  assert.equal(told, 1);
  assert.equal(await ben.migrate(create('tasks')).settled, 'acknowledged');
  await inStep(ann, ben);
  for (const { migrations } of [ann, ben]) {
    assert.deepEqual(
      migrations.map(({ type, table, schemaVersion }) => [type, table, schemaVersion]),
      [['create_table', 'tasks', 1]],
    );
  }
  assert.deepEqual(ann.migrations, ben.migrations);
});

test('a drop takes the rows of all, and they do not come back when the table is made again', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('tasks'));
  await set(ann, 'tasks', 1, 'old').settled;
  await inStep(ann, ben);
  ben.migrate(drop('tasks'));
  assert.deepEqual(titles(ben, 'tasks'), {});
  await inStep(ben, ann);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), {});
  ann.migrate(create('tasks', 9));
  set(ann, 'tasks', 2, 'new');
  await inStep(ann, ben);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), { 2: 'new' });
  assert.deepEqual(
    ann.migrations.map(({ type }) => type),
    ['drop_table', 'create_table'],
  );
});

test('what is written after a drop that was not heard of is held until the table is made again', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('tasks'));
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate(drop('tasks')).settled;
  const write = set(ben, 'tasks', 1, 'unaware');
  assert.deepEqual(titles(ben, 'tasks'), { 1: 'unaware' });
  ben.connect();
  assert.equal(await write.settled, 'acknowledged');
  await inStep(ann, ben);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), {});
  ann.migrate(create('tasks', 9));
  await inStep(ann, ben);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), { 1: 'unaware' });
});

test('of much that is held all is there for who wrote it, though it moves in many steps', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('tasks'));
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate(drop('tasks')).settled;
  const write = ben.transact((tx) => {
    for (let id = 0; id < HELD_ROWS; id++) tx.table('tasks').set([id], { title: 'unaware' });
  });
  ben.connect();
  assert.equal(await write.settled, 'acknowledged');
  await inStep(ann, ben);
  ann.migrate(create('tasks', 9));
  await untilTable(ann, 'tasks', (rows) => rows.length === HELD_ROWS);
  await inStep(ann, ben);
  assert.equal(ben.table('tasks').all().length, HELD_ROWS);
});

test('a rename takes along rows, unanswered writes, and what is written under the old name later', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('todos'));
  await set(ann, 'todos', 1, 'before').settled;
  await inStep(ann, ben);
  ben.disconnect();
  const pending = set(ben, 'todos', 2, 'offline');
  const other = set(ben, 'other', 1, 'apart');
  await ann.migrate(rename('todos', 'tasks')).settled;
  assert.deepEqual(titles(ann, 'tasks'), { 1: 'before' });
  ben.connect();
  await Promise.all([pending.settled, other.settled]);
  await inStep(ann, ben);
  set(ben, 'todos', 3, 'unaware');
  assert.deepEqual(titles(ben, 'tasks'), { 1: 'before', 2: 'offline', 3: 'unaware' });
  assert.deepEqual(titles(ben, 'todos'), titles(ben, 'tasks'), 'the old name leads there');
  assert.ok(ben.table('tasks').status([3]).isPending);
  await inStep(ben, ann);
  assert.deepEqual(titles(ann, 'tasks'), { 1: 'before', 2: 'offline', 3: 'unaware' });
  assert.ok(!ben.tables().some(({ table }) => table === 'todos'));
  // Made again, it is another table.
  ann.migrate(create('todos', 9));
  await inStep(ann, ben);
  set(ben, 'todos', 1, 'another');
  await inStep(ben, ann);
  for (const client of [ann, ben]) {
    assert.deepEqual(titles(client, 'todos'), { 1: 'another' });
    assert.equal(Object.keys(titles(client, 'tasks')).length, 3);
  }
});

test('a table is there for all where one made it again, by the same statement, unaware of a drop of before', async (t) => {
  const { ann, ben, dropped } = await startWithUnheardDrop(t);
  ben.connect();
  await dropped.settled;
  set(ben, 'tasks', 1, 'since');
  await inStep(ben, ann);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), { 1: 'since' });
  assert.deepEqual(ann.migrations, ben.migrations);
});

test('what others wrote after a drop is there for who learns only later that the table is made again', async (t) => {
  const { ann, ben, dropped } = await startWithUnheardDrop(t);
  await set(ann, 'tasks', 1, 'since').settled;
  ben.connect();
  await dropped.settled;
  await inStep(ben, ann);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'tasks'), { 1: 'since' });
});

test('what the server holds of a dropped table is asked for when a name is used again', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('tasks'));
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate(drop('tasks')).settled;
  // It moves what is held, and nobody is told of it.
  const renamed = ben.migrate(rename('tasks', 'others'));
  const unaware = set(ben, 'others', 1, 'unaware');
  ben.connect();
  assert.deepEqual(await Promise.all([renamed.settled, unaware.settled]), [
    'acknowledged',
    'acknowledged',
  ]);
  await inStep(ann, ben);
  for (const client of [ann, ben]) assert.deepEqual(titles(client, 'others'), {});
  let snapshots = 0;
  ben.subscribeStatus(() => {
    if (ben.status.connection === 'bootstrapping') snapshots++;
  });
  ann.migrate(create('tasks', 9));
  ann.migrate(create('others'));
  await inStep(ann, ben);
  assert.ok(snapshots > 0);
  for (const client of [ann, ben]) {
    assert.deepEqual(titles(client, 'tasks'), {});
    assert.deepEqual(titles(client, 'others'), { 1: 'unaware' });
  }
});

test('what is written under the name of a rename without effect is where the server has it', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('todos'));
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate(rename('todos', 'tasks')).settled;
  const write = ben.migrate(rename('todos', 'things'));
  const unaware = set(ben, 'things', 1, 'unaware');
  assert.deepEqual(titles(ben, 'things'), { 1: 'unaware' });
  ben.connect();
  await Promise.all([write.settled, unaware.settled]);
  await inStep(ben, ann);
  for (const client of [ann, ben]) {
    assert.deepEqual(titles(client, 'tasks'), { 1: 'unaware' });
    assert.deepEqual(
      client.tables().filter(({ table }) => table === 'things'),
      [],
    );
  }
});

test('a table that was renamed and made again under its old name, by the same statement, is two', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const ann = await startClient(t, { url });
  const store = new OutlivingStore();
  const ben = await startClient(t, { url, store });
  ann.migrate(create('a'));
  ann.migrate(drop('a'));
  ann.migrate(create('a'));
  await set(ann, 'a', 1, 'before').settled;
  await inStep(ann, ben);
  ben.disconnect();
  const unaware = set(ben, 'a', 2, 'unaware');
  ann.migrate(rename('a', 'b'));
  ann.migrate(create('a'));
  await set(ann, 'a', 3, 'another').settled;
  ben.connect();
  await unaware.settled;
  await inStep(ben, ann);
  await ben.close();
  const again = await startClient(t, { url, store, connect: false });
  for (const client of [ann, again]) {
    assert.deepEqual(titles(client, 'b'), { 1: 'before', 2: 'unaware' });
    assert.deepEqual(titles(client, 'a'), { 3: 'another' });
  }
});

test('what has won is put into the table that lost, whatever its name means now', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const ann = await startClient(t, { url });
  const ben = await startClient(t, { url });
  ann.migrate(create('a'));
  await inStep(ann, ben);
  ben.disconnect();
  const beaten = set(ben, 'a', 1, 'beaten');
  ann.migrate(rename('a', 'b'));
  ann.migrate(create('a', 9));
  set(ann, 'a', 1, 'another');
  await set(ann, 'b', 1, 'won').settled;
  ben.connect();
  assert.equal(await beaten.settled, 'superseded');
  await inStep(ben, ann);
  for (const client of [ann, ben]) {
    assert.deepEqual(titles(client, 'b'), { 1: 'won' });
    assert.deepEqual(titles(client, 'a'), { 1: 'another' });
  }
});

test('DDL without an answer shows its effect, and outlives the end of the app', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const store = new OutlivingStore();
  const ann = await startClient(t, { url, store });
  ann.migrate(create('a'));
  await set(ann, 'a', 1, 'one').settled;
  ann.disconnect();
  const write = ann.migrate(rename('a', 'b'));
  set(ann, 'b', 2, 'two');
  ann.migrate(create('a', 7));
  set(ann, 'a', 3, 'three');
  const look = (client: SyncClient) => {
    assert.deepEqual(titles(client, 'b'), { 1: 'one', 2: 'two' });
    assert.deepEqual(titles(client, 'a'), { 3: 'three' });
  };
  look(ann);
  await write.durable;
  await ann.close();
  const again = await startClient(t, { url, store, connect: false });
  look(again);
  again.connect();
  await synced(again);
  look(again);
  const ben = await startClient(t, { url });
  await synced(ben);
  look(ben);
});

test('a rename that cannot be carried out everywhere leaves nothing behind', async (t) => {
  const [ann, ben] = await startTwo(t);
  ann.migrate(create('a'));
  await set(ann, 'a', 1, 'kept').settled;
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate(create('b')).settled;
  const write = ben.migrate(rename('a', 'b'));
  assert.deepEqual(titles(ben, 'b'), { 1: 'kept' });
  ben.connect();
  await write.settled;
  await inStep(ben, ann);
  for (const client of [ann, ben]) {
    assert.deepEqual(titles(client, 'a'), { 1: 'kept' });
    assert.deepEqual(titles(client, 'b'), {});
  }
});

test('a drop stands though a later ALTER takes its place, also for who begins anew', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const [ann, ben] = [await startClient(t, { url }), await startClient(t, { url })];
  await Promise.all([synced(ann), synced(ben)]);
  set(ann, 'tasks', 1, 'dropped');
  await inStep(ann, ben);
  ben.disconnect();
  await ann.migrate({ ...drop('tasks'), schemaVersion: 2 }).settled;
  const added = { type: 'add_column', table: 'tasks', ddl: 'alter table tasks add x' } as const;
  ben.migrate({ ...added, schemaVersion: 2 });
  const unaware = set(ben, 'tasks', 2, 'unaware');
  ben.connect();
  await unaware.settled;
  await inStep(ann, ben);
  const cat = await startClient(t, { url });
  await synced(cat);
  set(cat, 'tasks', 3, 'held');
  await inStep(cat, ann, ben);
  for (const client of [ann, ben, cat]) assert.deepEqual(titles(client, 'tasks'), {});
  cat.migrate(create('tasks', 3));
  await inStep(cat, ann, ben);
  for (const client of [ann, ben, cat]) {
    assert.deepEqual(titles(client, 'tasks'), { 2: 'unaware', 3: 'held' });
  }
});

test('an outcome is of the table that a rename has led to', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const ann = await startClient(t, { url });
  // Its clock is behind: what it writes at the same time loses.
  const environment = {
    ...createEnvironment({ WebSocket: Socket }),
    now: () => Date.now() - 1000,
  };
  const ben = await startClient(t, { url, environment });
  ann.migrate(create('todos'));
  await set(ann, 'todos', 1, 'first').settled;
  await inStep(ann, ben);
  ben.disconnect();
  const beaten = set(ben, 'todos', 1, 'beaten');
  await set(ann, 'todos', 1, 'newer').settled;
  ben.connect();
  assert.equal(await beaten.settled, 'superseded');
  await inStep(ann, ben);
  await ann.migrate(rename('todos', 'tasks')).settled;
  await inStep(ann, ben);
  const [outcome] = ben.table('tasks').status([1]).outcomes;
  assert.equal(outcome?.changes[0]?.table, 'tasks');
  await outcome?.restore().settled;
  await inStep(ben, ann);
  assert.deepEqual(titles(ann, 'tasks'), { 1: 'beaten' });
});

test('DDL that makes no sense is refused before it is sent', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const ann = await startClient(t, { url });
  const { fromTable: _, ...lame } = rename('a', 'b');
  assert.throws(() => ann.migrate(lame), /fromTable/);
});
