/** Sessions without sockets: what reaches a client, in which order, and how much may wait. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import { createHookChain } from '../../src/hooks/chain/chain.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Rights, toGetChanges } from '../../src/service/access/rights.ts';
import { ByteBudget, type Reservation } from '../../src/service/budgets/byte-budget.ts';
import { PageReads } from '../../src/service/budgets/page-reads.ts';
import { MessageDeflater } from '../../src/service/delivery/message-deflater.ts';
import { SessionHub } from '../../src/service/delivery/session-hub.ts';
import { Session } from '../../src/sessions/session.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { deferred } from '../hooks/support.ts';
import { ArraySendQueue } from '../service/array-send-queue.ts';
import { openEngine } from '../support/engine.ts';
import { isForgotten } from '../support/forgotten.ts';
import { aMoment } from '../support/moment.ts';

const QUEUED_BYTES_MAX = 4000;
/** Of which most tests need little. */
const MEMORY_BYTES_MAX = 4_000_000;
const HOUR_MS = 3_600_000;

async function openHub(store?: KVStore) {
  const { manager, world } = await openEngine({ store });
  const counts = { pushed: 0 };
  const inFlight = { size: 0 };
  const hub = new SessionHub(manager, (changeSets) => {
    counts.pushed += changeSets;
  });
  const bound = { limit: 'limits.answerBytes' as const, bytes: MEMORY_BYTES_MAX };
  const memory = new ByteBudget({ total: bound, perClient: bound, onLimit: () => undefined });
  const reads = new PageReads();
  const database = { id: 'test', manager, open: async () => ({ id: 'test', manager }) };
  const join = (device: Device) => {
    const sendQueue = new ArraySendQueue();
    const identity = { siteId: new Uint8Array(16) };
    const session = new Session({
      connectionId: device.siteId,
      siteId: device.siteId,
      identity,
      database,
      sendQueue,
      pages: hub.pages,
      right: new Rights(createHookChain([], { timeoutMs: 1000 }), {
        maxAgeMs: 1000,
        now: Date.now,
        clients: { generation: 0, isCurrent: () => true },
      }).of({ who: () => identity }, toGetChanges('test')),
      limits: { queuedBytesPerSocket: QUEUED_BYTES_MAX, pageBytes: 1500 },
      host: {
        inFlight,
        readFilterOf: () => undefined,
        pushFilterOf: () => undefined,
        pushed: () => undefined,
        reserve: (bytes) => memory.reserve(device.siteId, bytes),
        tryReserve: (bytes) => memory.tryReserve(device.siteId, bytes),
        reads,
        rowReads: (read) => read(),
        deflater: new MessageDeflater(),
        hasMemory: (bytes) => memory.hasRoom(device.siteId, bytes),
        fellBehind: () => undefined,
        failed: assert.fail,
        readDenied: assert.fail,
      },
    });
    hub.add(session);
    return { session, sendQueue };
  };
  /** Writes so many transactions, one commit each; gives their ids. */
  const write = async (device: Device, count = 1) => {
    const ids: string[] = [];
    for (let i = 0; i < count; i++) {
      const changeSet = device.write({ pk: [device.wallTime], set: { text: 'x'.repeat(200) } });
      ids.push(changeSet.transactionId);
      await manager.apply([changeSet]);
    }
    return ids;
  };
  /** All that is deleted by now is forgotten, and leaves the log, however long somebody has been reading it. */
  const forget = async (afterMs = HOUR_MS) => {
    world.nowMs += afterMs;
    await manager.maintain({ thorough: true });
  };
  return { counts, inFlight, memory, manager, hub, join, write, forget };
}

test('a session that keeps up gets each commit as one push, in position order', async () => {
  const { join, write } = await openHub();
  const { sendQueue } = join(new Device(9));
  const [a, b] = [new Device(1), new Device(2)];
  const ids = [...(await write(a, 3)), ...(await write(b, 3)), ...(await write(a, 2))];
  assert.deepEqual(sendQueue.transactionIds, ids);
  assert.deepEqual(new Set(sendQueue.types), new Set(['push_changes']));
  const positions = sendQueue.changeSets.map(({ hlc }) =>
    Buffer.from(hlc, 'base64').toString('hex'),
  );
  assert.deepEqual(positions, positions.toSorted());
});

test('what a site wrote itself is left out of its pushes, and out of no other’s', async () => {
  const { manager, join } = await openHub();
  const [a, b] = [new Device(1), new Device(2)];
  const [anna, ben, carl] = [join(a), join(b), join(new Device(3))];
  const [byA, byB] = [a, b].map((device) => device.write({ pk: [device.siteId], set: { x: 1 } }));
  assert.ok(byA !== undefined && byB !== undefined);
  await Promise.all([manager.apply([byA]), manager.apply([byB])]);
  assert.deepEqual(anna.sendQueue.transactionIds, [byB.transactionId]);
  assert.deepEqual(ben.sendQueue.transactionIds, [byA.transactionId]);
  assert.equal(carl.sendQueue.transactionIds.length, 2);
  await manager.apply([a.write({ pk: ['own'], set: { x: 1 } })]);
  assert.equal(anna.sendQueue.messages.length, 1, 'no message with nothing in it');
});

test('what is pushed at once is counted, and goes out with the answer where one is due', async () => {
  const { counts, inFlight, join, write } = await openHub();
  const { sendQueue } = join(new Device(9));
  join(new Device(8));
  await write(new Device(1), 3);
  assert.deepEqual([counts.pushed, sendQueue.sharedMessages.length], [6, 3]);
  inFlight.size = 1;
  await write(new Device(2), 2);
  assert.deepEqual([counts.pushed, sendQueue.sharedMessages.length], [10, 3]);
  assert.equal(sendQueue.transactionIds.length, 5);
});

test('while the peer takes nothing, what waits is bounded; afterwards it misses nothing', async () => {
  const { join, write } = await openHub();
  const { sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const ids = await write(new Device(1), 100);
  assert.ok(sendQueue.transactionIds.length < 20);
  assert.ok(
    sendQueue.queuedBytesPeak <= QUEUED_BYTES_MAX,
    `${sendQueue.queuedBytesPeak} bytes waited`,
  );
  await sendQueue.waitedFor();
  sendQueue.isHeld = false;
  sendQueue.take();
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
});

test('a session that is fed from the log gets what is written meanwhile too, once', async () => {
  const { join, write } = await openHub();
  const { sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const ids = await write(new Device(1), 30);
  await sendQueue.waitedFor();
  sendQueue.take();
  ids.push(...(await write(new Device(2), 30)));
  sendQueue.isHeld = false;
  sendQueue.take();
  await sendQueue.sent(ids.length);
  ids.push(...(await write(new Device(3), 2)));
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
});

test('sessions that are behind by the same stretch read and hold it once, and its author not at all', async () => {
  const store = await createMemoryStorage().open('test');
  let reads = 0;
  const { manager, memory, hub, join } = await openHub({
    ...store,
    iterate(range) {
      if (range.bytes !== undefined) reads++;
      return store.iterate(range);
    },
  });
  const author = new Device(1);
  const own = join(author);
  const others = Array.from({ length: 20 }, (_, i) => join(new Device(10 + i)));
  for (const { sendQueue } of others) sendQueue.isHeld = true;
  const bytes = 5_000_000;
  const large = author.write({ pk: [1], set: { text: 'x'.repeat(bytes) } });
  await manager.apply([large]);
  for (const { sendQueue } of others) await sendQueue.sent(1);
  assert.ok(reads <= 2, `read ${reads} times`);
  assert.ok(memory.held > bytes && memory.held < 1.1 * bytes, `${memory.held} bytes are held`);
  // Who comes to it while it is still needed gets it, too.
  assert.equal(hub.pages.size, 1);
  for (const { sendQueue } of others) sendQueue.take();
  assert.equal(hub.pages.size, 0);
  // The author still looks whether there is something for it in what it wrote.
  while (memory.held > 0) await aMoment();
  assert.deepEqual(own.sendQueue.transactionIds, []);
  for (const { sendQueue } of others)
    assert.deepEqual(sendQueue.transactionIds, [large.transactionId]);
});

test('a session whose log cannot be read at the moment stays, and goes on when it can', async (t) => {
  // Waiting for a store keeps no process alive; here there is no socket that does.
  const alive = setInterval(() => undefined, 1000);
  t.after(() => clearInterval(alive));
  const store = await createMemoryStorage().open('test');
  let refusals = 100;
  const { join, write } = await openHub({
    ...store,
    iterate(range) {
      if (refusals++ > 1) return store.iterate(range);
      throw new SyncError('STORE_UNAVAILABLE', 'not now', { retryAfterMs: 1 });
    },
  });
  const { sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const ids = await write(new Device(1), 30);
  await sendQueue.waitedFor();
  refusals = 0;
  sendQueue.isHeld = false;
  sendQueue.take();
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
  assert.ok(refusals > 2);
});

test('a page that cannot be read ahead of its time ends the answer, and nothing else', async (t) => {
  const store = await createMemoryStorage().open('test');
  let isBroken = () => false;
  const { join, write, manager } = await openHub({
    ...store,
    iterate(range) {
      if (isBroken()) throw new SyncError('STORE_UNAVAILABLE', 'not now');
      return store.iterate(range);
    },
  });
  const stray: unknown[] = [];
  const note = (reason: unknown) => stray.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  await write(new Device(1), 40);
  const { session, sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const since = await manager.log.cursorFor(undefined);
  // The next page is asked for while this one is on its way.
  isBroken = () => sendQueue.messages.length > 0;
  const answered = session.answer(() => session.sendChanges(since));
  await sendQueue.sent(1);
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  sendQueue.isHeld = false;
  sendQueue.take();
  await assert.rejects(answered, { code: 'STORE_UNAVAILABLE' });
  assert.deepEqual(stray, []);
});

test('while an answer waits for the memory for its next page, nothing is left of the last one', async () => {
  const { memory, join, write, manager } = await openHub();
  const ids = await write(new Device(1), 40);
  const { session, sendQueue } = join(new Device(9));
  let page: WeakRef<object> | undefined;
  const others: Promise<Reservation>[] = [];
  const send = sendQueue.send.bind(sendQueue);
  sendQueue.send = (frame, taken) => {
    if (page === undefined && typeof frame === 'object') {
      page = new WeakRef(frame);
      // From now on there is no memory, also not for reading ahead.
      others.push(memory.reserve('another', MEMORY_BYTES_MAX));
      for (const holder of ['a', 'b']) others.push(memory.reserve(holder, MEMORY_BYTES_MAX / 8));
    }
    send(frame, taken);
  };
  sendQueue.isHeld = true;
  const since = await manager.log.cursorFor(undefined);
  const answered = session.answer(() => session.sendChanges(since));
  await sendQueue.waitedFor();
  sendQueue.isHeld = false;
  sendQueue.take();
  assert.ok(await isForgotten(page));
  assert.equal(sendQueue.messages.length, 1);
  for (const other of others) (await other).give();
  await answered;
  assert.deepEqual(sendQueue.transactionIds, ids);
});

test('an answer under way holds pushes back; nothing is missed, and nothing comes twice', async () => {
  const { join, write, manager } = await openHub();
  const ids = await write(new Device(1), 20);
  const { session, sendQueue } = join(new Device(9));
  const [begun, gate] = [deferred(), deferred()];
  const answered = session.answer(async () => {
    begun.resolve();
    await gate.promise;
    await session.sendChanges(await manager.log.cursorFor(undefined));
  });
  await begun.promise;
  ids.push(...(await write(new Device(2), 5)));
  assert.deepEqual(sendQueue.messages, [], 'no push before the answer');
  gate.resolve();
  await answered;
  ids.push(...(await write(new Device(3), 5)));
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
  const firstPush = sendQueue.types.indexOf('push_changes');
  assert.ok(!sendQueue.types.slice(firstPush).includes('changes'), 'the answer comes in one piece');
});

test('what is written between two pages of an answer is in the answer or pushed after it', async () => {
  const { join, write, manager } = await openHub();
  const ids = await write(new Device(1), 20);
  const { session, sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const start = await manager.log.cursorFor(undefined);
  const answered = session.answer(() => session.sendChanges(start));
  await sendQueue.waitedFor();
  assert.ok(
    sendQueue.transactionIds.length < ids.length,
    'a page has been sent, and more is to come',
  );
  ids.push(...(await write(new Device(2), 3)));
  sendQueue.isHeld = false;
  sendQueue.take();
  await answered;
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
});

test('an answer after a push repeats what was asked for, and pushes go on from its end', async () => {
  const { join, write, manager } = await openHub();
  const start = manager.log.end;
  const { session, sendQueue } = join(new Device(9));
  const ids = await write(new Device(1), 2);
  await session.answer(() => session.sendChanges(start));
  const more = await write(new Device(2), 2);
  assert.deepEqual(sendQueue.transactionIds, [...ids, ...ids, ...more]);
});

test('an answer that breaks off between two pages: pushes go on from the first, not from before', async () => {
  const store = await createMemoryStorage().open('test');
  let readsLeft = Number.POSITIVE_INFINITY;
  const { join, write, manager } = await openHub({
    ...store,
    iterate(range) {
      if (readsLeft-- === 0) throw new SyncError('STORE_UNAVAILABLE', 'not now');
      return store.iterate(range);
    },
  });
  const { session, sendQueue } = join(new Device(9));
  const start = manager.log.end;
  const ids: string[] = [];
  const answered = session.answer(async () => {
    ids.push(...(await write(new Device(1), 20)));
    readsLeft = 1;
    await session.sendChanges(start);
  });
  await assert.rejects(answered, /not now/);
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
  assert.deepEqual([sendQueue.types[0], sendQueue.types.at(-1)], ['changes', 'push_changes']);
});

test('answers come one after the other, also after one that failed', async () => {
  const { session } = (await openHub()).join(new Device(9));
  const order: string[] = [];
  const gate = deferred();
  const failed = session.answer(async () => {
    await gate.promise;
    order.push('first');
    throw new Error('not to be read');
  });
  const second = session.answer(async () => {
    order.push('second');
  });
  gate.resolve();
  await assert.rejects(failed, /not to be read/);
  await second;
  assert.deepEqual(order, ['first', 'second']);
});

test('a snapshot holds pushes back as well, and they go on from its position', async () => {
  const { join, write, manager } = await openHub();
  await write(new Device(1), 50);
  const { session, sendQueue } = join(new Device(9));
  const ids: string[] = [];
  await session.answer(async () => {
    const snapshot = await manager.tables.snapshot();
    ids.push(...(await write(new Device(2), 2)));
    const noteSent = async () =>
      assert.ok(!sendQueue.types.includes('snapshot_complete'), 'noted before it is said');
    const now = () => session.right.stamp;
    const isFor = async () => undefined;
    await session.sendSnapshot(async () => ({ ...snapshot, now, isFor, noteSent }));
  });
  await sendQueue.sent(ids.length);
  const last = sendQueue.types.indexOf('snapshot_complete');
  assert.deepEqual(new Set(sendQueue.types.slice(0, last)), new Set(['snapshot_chunk']));
  assert.deepEqual(sendQueue.transactionIds, ids, 'what came after its position is pushed');
});

test('a session that has ended, or whose socket has closed, is sent nothing more', async () => {
  const { join, write, hub } = await openHub();
  const [ended, closed, other] = [join(new Device(7)), join(new Device(8)), join(new Device(9))];
  ended.session.end();
  closed.sendQueue.close();
  await write(new Device(1));
  await closed.session.answer(() => assert.fail('nobody would hear it'));
  assert.deepEqual([ended.sendQueue.messages, closed.sendQueue.messages], [[], []]);
  assert.equal(other.sendQueue.messages.length, 1);
  hub.close();
  assert.equal(other.sendQueue.isOpen, false, 'its client is to come back');
  assert.equal(hub.size, 0);
});

/** An answer whose peer takes nothing after the first page, and a deletion of a row that was in it. */
async function answerWithDeletion() {
  const { join, write, manager, forget } = await openHub();
  const device = new Device(1);
  const first = device.wallTime;
  await write(device, 40);
  const { session, sendQueue } = join(new Device(9));
  sendQueue.isHeld = true;
  const answered = session.answer(async () =>
    session.sendChanges(await manager.log.cursorFor(undefined)),
  );
  await sendQueue.waitedFor();
  await manager.apply([device.write({ pk: [first], delete: true })]);
  return { manager, forget, sendQueue, answered };
}

test('an answer under way is told to start over when a deletion is forgotten that it has not told', async () => {
  const { forget, sendQueue, answered } = await answerWithDeletion();
  await forget();
  sendQueue.isHeld = false;
  sendQueue.take();
  await assert.rejects(answered, { code: 'SNAPSHOT_REQUIRED' });
});

test('a session that is fed from the log is told to start over when a deletion is forgotten that it has not heard of', async () => {
  const { join, write, manager, forget } = await openHub();
  const { sendQueue } = join(new Device(9));
  const device = new Device(1);
  sendQueue.isHeld = true;
  const first = device.wallTime;
  await write(device, 40);
  await manager.apply([device.write({ pk: [first], delete: true })]);
  await sendQueue.waitedFor();
  await forget();
  const closed = once(sendQueue.closing, 'closed');
  sendQueue.isHeld = false;
  sendQueue.take();
  await closed;
  const last = sendQueue.messages.at(-1);
  assert.deepEqual([last?.type, last?.code], ['error', 'SNAPSHOT_REQUIRED']);
});

test('a reader from nothing goes on, whatever had been forgotten before it began, by pages or by messages', async () => {
  const { join, write, manager, forget } = await openHub();
  const device = new Device(1);
  const first = device.wallTime;
  await write(device, 20);
  await manager.apply([device.write({ pk: [first], delete: true })]);
  await write(device, 20);
  await forget();
  const { session, sendQueue } = join(new Device(9));
  await session.answer(async () => session.sendChanges(await manager.log.cursorFor(undefined)));
  const rows = (changeSets: readonly WireChangeSet[]) =>
    new Set(changeSets.flatMap(({ changes }) => changes.map(({ pk }) => pk[0])));
  assert.equal(rows(sendQueue.changeSets).size, 39);
  const paged: WireChangeSet[] = [];
  for (const goesByChangeSets of [false, true]) {
    paged.length = 0;
    let since: string | undefined;
    for (let hasMore = true; hasMore; ) {
      const after = await manager.log.cursorFor(since);
      const page = await manager.log.page({ after, bytesMax: 1500 }, (json) => {
        paged.push(JSON.parse(Buffer.from(json).toString()));
      });
      since = goesByChangeSets ? paged.at(-1)?.hlc : page.watermark;
      ({ hasMore } = page);
    }
    assert.equal(rows(paged).size, 39);
  }
});

test('a change set of several authors is put together once for all who are none of them', async () => {
  const { join, manager } = await openHub();
  const [a, b] = [new Device(1), new Device(2)];
  const others = Array.from({ length: 50 }, (_, i) => join(new Device(10 + i)));
  const anna = join(a);
  const both = a.write({ pk: [1], set: { x: 1 } });
  both.changes.push(...b.write({ pk: [2], set: { x: 2 } }).changes);
  await manager.apply([both]);
  const made = others.flatMap(({ sendQueue }) => sendQueue.sharedMessages);
  assert.equal(made.length, others.length);
  assert.equal(new Set(made).size, 1, 'one for all the others');
  for (const { sendQueue } of others) assert.equal(sendQueue.changeSets[0]?.changes.length, 2);
  assert.deepEqual(
    anna.sendQueue.changeSets[0]?.changes.map(({ pk }) => pk),
    [[2]],
  );
});

test('the log is not shortened under an answer, for some minutes', async () => {
  const { manager, forget, sendQueue, answered } = await answerWithDeletion();
  await forget(60_000);
  sendQueue.isHeld = false;
  sendQueue.take();
  await answered;
  assert.equal(sendQueue.changeSets.filter(({ changes }) => changes.length > 0).length, 41);
  const { logLength } = manager;
  await forget();
  assert.ok(manager.logLength < logLength, 'afterwards it is');
});

test('pushes that keep up are held in the room of all answers, once for all, until the last has taken them', async () => {
  const { memory, join, write } = await openHub();
  const [first, second] = [join(new Device(8)), join(new Device(9))];
  first.sendQueue.isHeld = true;
  second.sendQueue.isHeld = true;
  await write(new Device(1));
  const [frame] = first.sendQueue.messages;
  assert.equal(second.sendQueue.messages.length, 1);
  const bytes = JSON.stringify(frame).length;
  assert.ok(memory.held > bytes - 100 && memory.held <= bytes, `${memory.held} of ${bytes}`);
  first.sendQueue.take();
  assert.ok(memory.held > 0);
  second.sendQueue.take();
  assert.equal(memory.held, 0);
});

test('a push that there is no room for is read from the log, once there is', async () => {
  const { memory, join, write } = await openHub();
  const { sendQueue } = join(new Device(9));
  const others = [await memory.reserve('another', MEMORY_BYTES_MAX)];
  // What is kept for those who hold little is taken as well.
  for (const holder of ['a', 'b']) others.push(await memory.reserve(holder, MEMORY_BYTES_MAX / 8));
  const ids = await write(new Device(1), 3);
  assert.deepEqual(sendQueue.transactionIds, []);
  for (const room of others) room.give();
  await sendQueue.sent(ids.length);
  assert.deepEqual(sendQueue.transactionIds, ids);
  assert.ok(memory.held <= MEMORY_BYTES_MAX);
});
