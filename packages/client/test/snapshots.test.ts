/** What a table shows stays the same object until it is another: views compare by that. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCoordinator } from '../../../src/testing/index.ts';
import { startClient, synced } from './support/client.ts';

test('a row keeps its object while other rows change, and when its write is acknowledged', async (t) => {
  const server = await startCoordinator(t);
  const client = await startClient(t, { url: server.wsUrl });
  await synced(client);
  client.disconnect();
  const tasks = client.table('tasks');
  client.transact((tx) => {
    tx.table('tasks')
      .set([1], { title: 'one' })
      .set([2], { title: 'two', tags: ['a'] });
  });
  const [all, first, second] = [tasks.all(), tasks.get([1]), tasks.get([2])];
  assert.equal(tasks.all(), all);
  client.connect();
  await synced(client);
  assert.equal(tasks.status([1]).isPending, false);
  assert.equal(tasks.get([1]), first);
  assert.equal(tasks.all(), all);
  client.transact((tx) => {
    tx.table('tasks').set([1], { title: 'uno' });
  });
  assert.notEqual(tasks.get([1]), first);
  assert.equal(tasks.get([2]), second);
  assert.notEqual(tasks.all(), all);
  assert.deepEqual(
    tasks.all().map(({ row }) => row),
    [{ title: 'uno' }, { title: 'two', tags: ['a'] }],
  );
});

test('a table lists rows that come and go', async (t) => {
  const server = await startCoordinator(t);
  const client = await startClient(t, { url: server.wsUrl, connect: false });
  const tasks = client.table('tasks');
  const titles = () => tasks.all().map(({ row }) => row.title);
  const write = (pk: number, title?: string) =>
    client.transact((tx) => {
      if (title === undefined) tx.table('tasks').delete([pk]);
      else tx.table('tasks').set([pk], { title });
    });
  write(2, 'two');
  assert.deepEqual(titles(), ['two']);
  assert.equal(tasks.get([1]), undefined);
  write(1, 'one');
  assert.deepEqual(titles(), ['one', 'two']);
  write(2);
  assert.deepEqual(titles(), ['one']);
  write(3, 'three');
  assert.deepEqual(titles(), ['one', 'three']);
});

test('a status keeps its object until it is another, and who subscribes hears of a dismissal', async (t) => {
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) => ({
        approved: [],
        rejected: changes.map((change) => ({ change, reason: 'no', code: 'NO' })),
      }),
    },
  });
  const client = await startClient(t, { url: server.wsUrl });
  const tasks = client.table('tasks');
  const other = tasks.status([2]);
  const write = client.transact((tx) => {
    tx.table('tasks').set([1], { title: 'one' });
  });
  assert.deepEqual(tasks.status([1]).pendingColumns, ['title']);
  assert.equal(await write.settled, 'rejected');
  const rejected = tasks.status([1]);
  assert.deepEqual([rejected.isPending, rejected.outcomes.length], [false, 1]);
  assert.equal(tasks.status([1]), rejected);
  assert.equal(tasks.status([2]), other);
  let notices = 0;
  tasks.subscribe(() => notices++);
  client.outcomes.list()[0]?.dismiss();
  assert.equal(notices, 1);
  assert.deepEqual(tasks.status([1]).outcomes, []);
  assert.equal(tasks.status([2]), other);
});
