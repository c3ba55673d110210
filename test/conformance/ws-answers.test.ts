/** What a message says of the answer that it belongs to. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { startDeployment } from './deployment.ts';

const PAGE_BYTES = 20_000;

async function join(t: TestContext, { pageBytes = PAGE_BYTES } = {}) {
  const limits = { pageBytes };
  const server = await startDeployment(t, { config: { storage: 'memory:', limits } });
  const [a, b] = [new Device(1), new Device(2)];
  const anna = await TestClient.join(server.wsUrl, a, t);
  const ben = await TestClient.join(server.wsUrl, b, t);
  return { a, anna, ben };
}

/** The messages of one answer, up to the one that says that it is the last. */
async function answerOf(client: TestClient): Promise<ReceivedMessage[]> {
  const messages: ReceivedMessage[] = [];
  for (;;) {
    const message = await client.next('changes');
    messages.push(message);
    if (message.hasMore === false) return messages;
  }
}

test('every message of an answer says whether another follows, and repeats the requestId', async (t) => {
  const { a, anna, ben } = await join(t);
  ben.send({ type: 'get_changes', requestId: 'nothing yet' });
  const [empty] = await answerOf(ben);
  assert.deepEqual(empty, {
    type: 'changes',
    changeSets: [],
    hasMore: false,
    requestId: 'nothing yet',
  });
  const sets = Array.from({ length: 50 }, (_, i) =>
    a.write({ pk: [i], set: { x: 'x'.repeat(2000) } }),
  );
  await anna.apply(...sets);
  const requestId = '"} ünï🚀\n';
  ben.send({ type: 'get_changes', requestId });
  const messages = await answerOf(ben);
  assert.ok(messages.length > 3, `${messages.length} messages`);
  for (const [i, message] of messages.entries()) {
    const isLast = i === messages.length - 1;
    assert.deepEqual([message.hasMore, message.requestId], [!isLast, requestId]);
  }
  assert.equal(messages.flatMap(({ changeSets }) => changeSets).length, sets.length);
  // Its author has nothing to be sent but the position.
  anna.send({ type: 'get_changes', requestId: 'own' });
  const own = await answerOf(anna);
  assert.equal(own.at(-1)?.requestId, 'own');
});

test('an answer begins with a short message and goes on with longer ones, for clients that name their request', async (t) => {
  const KIB = 1024;
  const { a, anna, ben } = await join(t, { pageBytes: 1000 * KIB });
  const sets = Array.from({ length: 200 }, (_, i) =>
    a.write({ pk: [i], set: { x: 'x'.repeat(10 * KIB) } }),
  );
  await anna.apply(...sets);
  ben.send({ type: 'get_changes', requestId: 'all' });
  const named = await answerOf(ben);
  const [first = 0, second = 0, ...rest] = named.map(
    ({ changeSets }) => JSON.stringify(changeSets).length,
  );
  assert.ok(first > 200 * KIB && first <= 256 * KIB, `${first} bytes`);
  assert.ok(second > 900 * KIB && second <= 1000 * KIB, `${second} bytes`);
  assert.equal(rest.length, 1);
  // Others may take up messages that come together in any order: they get as few as there can be.
  ben.send({ type: 'get_changes' });
  const unnamed = await answerOf(ben);
  assert.equal(unnamed.length, 3);
  assert.ok(JSON.stringify(unnamed[0]?.changeSets).length > 900 * KIB);
  const [byNamed, byUnnamed] = [named, unnamed].map((answer) =>
    answer.flatMap(({ changeSets }) => changeSets),
  );
  assert.equal(byNamed?.length, sets.length);
  assert.deepEqual(byNamed, byUnnamed);
});

test('an answer to a request without a requestId has none, and a push says nothing of answers', async (t) => {
  const { a, anna, ben } = await join(t);
  ben.send({ type: 'get_changes' });
  assert.deepEqual(await ben.next('changes'), { type: 'changes', changeSets: [], hasMore: false });
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  assert.deepEqual(Object.keys(await ben.next('push_changes')), ['type', 'changeSets']);
  ben.send({ type: 'get_snapshot' });
  assert.deepEqual(await ben.next('snapshot_complete'), { type: 'snapshot_complete' });
});

test('the end of a snapshot repeats the requestId of what asked for it', async (t) => {
  const { a, anna, ben } = await join(t);
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  ben.send({ type: 'get_snapshot', requestId: 'all' });
  assert.equal((await ben.next('snapshot_complete')).requestId, 'all');
  const { chunk } = await ben.next('snapshot_chunk');
  const { snapshotId, hlc } = chunk as { snapshotId: string; hlc: string };
  const at = { lastTableIndex: 0, lastEntryIndex: 0, entriesProcessed: 0, createdAt: Date.now() };
  const { siteId } = new Device(2);
  const checkpoint = { ...at, snapshotId, siteId, hlc, completedTables: ['main.t'] };
  ben.send({ type: 'resume_snapshot', checkpoint, requestId: 'the rest' });
  assert.equal((await ben.next('snapshot_complete')).requestId, 'the rest');
});
