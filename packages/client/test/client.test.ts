/** The client against a real server: what is written offline and online reaches the others. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { startCoordinator } from '../../../src/testing/index.ts';
import type { TransactionTable } from '../src/transaction.ts';
import { startClient, synced, uncaught, untilTable } from './support/client.ts';
import { settle } from './support/fake-world.ts';

interface Task {
  title: string;
  done: boolean;
}

test('what one client writes is read by another', async (t) => {
  const server = await startCoordinator(t);
  const [ann, ben] = [
    await startClient(t, { url: server.wsUrl }),
    await startClient(t, { url: server.wsUrl }),
  ];
  await synced(ben);
  const write = ann.transact((tx) => {
    tx.table<Task>('tasks').set([1], { title: 'buy milk', done: false });
  });
  assert.deepEqual(ann.table<Task>('tasks').get([1]), { title: 'buy milk', done: false });
  assert.equal(write.state, 'local');
  assert.equal(await write.settled, 'acknowledged');
  await untilTable(ben, 'tasks', (rows) => rows.length === 1);
  assert.deepEqual(ben.table<Task>('tasks').all(), [
    { pk: [1], row: { title: 'buy milk', done: false } },
  ]);
  assert.equal(ann.status.pending, 0);
});

test('what is written offline is sent later, and what others wrote meanwhile comes', async (t) => {
  const server = await startCoordinator(t);
  const ann = await startClient(t, { url: server.wsUrl });
  const ben = await startClient(t, { url: server.wsUrl });
  await synced(ann);
  ann.disconnect();
  const write = ann.transact((tx) => {
    tx.table('tasks').set([1], { title: 'offline' });
  });
  ben.transact((tx) => {
    tx.table('tasks').set([2], { title: 'meanwhile' });
  });
  await synced(ben);
  assert.equal(ann.status.pending, 1);
  assert.equal(ann.table('tasks').status([1]).isPending, true);
  ann.connect();
  assert.equal(await write.settled, 'acknowledged');
  await untilTable(ben, 'tasks', (rows) => rows.length === 2);
  assert.deepEqual(ann.table('tasks').all(), ben.table('tasks').all());
});

test('a new client takes a snapshot', async (t) => {
  const server = await startCoordinator(t);
  const ann = await startClient(t, { url: server.wsUrl });
  await ann.transact((tx) => {
    for (let i = 0; i < 3000; i++) tx.table('tasks').set([i], { title: `task ${i}` });
    tx.table('tasks').delete([7]);
  }).settled;
  const ben = await startClient(t, { url: server.wsUrl });
  await synced(ben);
  assert.equal(ben.table('tasks').all().length, 2999);
  assert.deepEqual(ben.table('tasks').all(), ann.table('tasks').all());
});

test('what an app throws when it is called back does no harm to what is received, nor to other listeners', async (t) => {
  const thrown = uncaught(t);
  const server = await startCoordinator(t);
  const ann = await startClient(t, { url: server.wsUrl });
  await synced(ann);
  const states = new Set<string>();
  ann.subscribeStatus(() => states.add(ann.status.connection));
  const fail = () => {
    throw new Error('of the app');
  };
  const ends = [ann.subscribeStatus(fail), ann.table('tasks').subscribe(fail)];
  const ben = await startClient(t, { url: server.wsUrl });
  await ben.transact((tx) => tx.table('tasks').set([1], { title: 'x' })).settled;
  await untilTable(ann, 'tasks', (rows) => rows.length === 1);
  assert.equal(
    await ann.transact((tx) => tx.table('tasks').set([2], { title: 'y' })).settled,
    'acknowledged',
  );
  for (const end of ends) end();
  assert.deepEqual([...states], ['live']);
  await settle();
  assert.ok(thrown.length > 0 && thrown.every((error) => String(error) === 'Error: of the app'));
});

test('what is written after the end of a transaction is refused', async (t) => {
  const thrown = uncaught(t);
  const client = await startClient(t, { url: 'ws://127.0.0.1:1', connect: false });
  const isAsync = { name: 'TypeError', message: /must not be async/ };
  const isOver = { name: 'TypeError', message: /is over/ };
  assert.throws(
    () =>
      client.transact(async (tx) => {
        tx.table('t').set([1], { a: 1 });
        await settle();
        tx.table('t').set([2], { a: 2 });
      }),
    isAsync,
  );
  const table = new Promise<TransactionTable>((resolve) => {
    client.transact((tx) => resolve(tx.table('t')));
  });
  const kept = await table;
  assert.throws(() => kept.set([3], { a: 3 }), isOver);
  assert.throws(() => kept.delete([3]), isOver);
  await settle();
  assert.deepEqual(client.table('t').all(), []);
  assert.deepEqual(thrown, []);
});

test('a value that would come back as another one is refused, also within JSON and in a key', async (t) => {
  const client = await startClient(t, { url: 'ws://127.0.0.1:1', connect: false });
  const others = [
    new Map([[1, 2]]),
    new Set([1]),
    new Error('x'),
    /x/,
    new Date(0),
    new ArrayBuffer(3),
    new Float32Array([1]),
    Object('text'),
    new URL('http://x/y'),
    new (class Task {
      title = 'x';
    })(),
  ];
  const refused = [
    ...others,
    ...others.flatMap((value) => [{ a: value }, [[value]]]),
    { a: new Uint8Array([1]) },
    Object.create({ a: 1 }),
  ];
  for (const value of refused) {
    assert.throws(() => client.transact((tx) => tx.table('t').set([1], { value })), TypeError);
    assert.throws(() => client.transact((tx) => tx.table('t').set([value], { a: 1 })), TypeError);
    assert.throws(() => client.transact((tx) => tx.table('t').delete([value])), TypeError);
  }
  assert.equal(client.status.pending, 0);
  const foreign = runInNewContext('({ a: [{ b: null }] })');
  for (const value of [foreign, Object.assign(Object.create(null), foreign), [foreign], [], {}]) {
    client.transact((tx) => tx.table('t').set([value], { value }));
    const plain = JSON.parse(JSON.stringify(value));
    assert.deepEqual(client.table('t').get([value]), { value: plain });
  }
});
