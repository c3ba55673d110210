import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { SharedMessage } from '../../src/service/delivery/announcement.ts';
import { SocketSendQueue } from '../../src/sessions/socket-send-queue.ts';

const KIB = 1024;

/** An sendQueue, the peer at the other end, and all that the peer hears. */
async function connectPair(t: TestContext, { isRaw = true } = {}) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connected = new Promise<{ socket: WebSocket; rawSocket: Socket }>((resolve) => {
    server.once('connection', (socket, request) => resolve({ socket, rawSocket: request.socket }));
  });
  const peer = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  const heard: string[] = [];
  peer.on('message', (data, isBinary) => heard.push(isBinary ? 'binary' : String(data)));
  const { socket, rawSocket } = await connected;
  await once(peer, 'open');
  const count = { bytes: 0 };
  const onBytes = (delta: number) => {
    count.bytes += delta;
  };
  const sendQueue = new SocketSendQueue(socket, onBytes, isRaw ? rawSocket : undefined);
  socket.on('close', () => sendQueue.closed());
  t.after(() => {
    peer.terminate();
    socket.terminate();
    server.close();
  });
  const hear = async (messages: number) => {
    while (heard.length < messages) await once(peer, 'message');
    return heard;
  };
  return { sendQueue, socket, rawSocket, peer, hear, count };
}

/** More than the kernel takes for a peer that doesn't read. */
const UNREAD = 'x'.repeat(16 * KIB * KIB);

/** A message for several sockets, and how often its memory was given back. */
function shared(text: string) {
  const count = { freed: 0 };
  const free = () => {
    count.freed++;
  };
  return { message: new SharedMessage([Buffer.from(text)], free), count };
}

/** Where the length of a frame takes more bytes, and where a message goes in fragments. */
const EDGES = [0, 1, 125, 126, 127, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, 3_000_000];

for (const [how, isRaw] of [
  ['in frames of its own', true],
  ['in those of ws', false],
] as const) {
  test(`a message of any size arrives whole, as text, ${how}`, async (t) => {
    const { sendQueue, hear } = await connectPair(t, { isRaw });
    const messages = EDGES.map((size) => 'x'.repeat(size));
    // Three bytes a character: no fragment ends where a character does.
    messages.push('€'.repeat(100_000));
    for (const message of messages) {
      sendQueue.send(message);
      await sendQueue.drained(0);
    }
    for (const message of messages) sendQueue.send(message);
    const heard = await hear(2 * messages.length);
    assert.ok(heard.every((message, i) => message === messages[i % messages.length]));
  });
}

for (const isRaw of [true, false]) {
  test(`a message in pieces arrives as one${isRaw ? '' : ', in frames of ws'}`, async (t) => {
    const { sendQueue, hear } = await connectPair(t, { isRaw });
    const toPieces = (sizes: readonly number[], text: string) =>
      sizes.map((size) => Buffer.from(text.repeat(size)));
    const messages = [
      toPieces(EDGES, 'x'),
      toPieces(EDGES.toReversed(), '€'),
      [],
      toPieces([7], 'y'),
    ];
    for (const message of messages) sendQueue.send(message);
    const heard = await hear(messages.length);
    assert.ok(heard.every((text, i) => text === Buffer.concat(messages[i] ?? []).toString()));
    await sendQueue.drained(0);
    assert.equal(sendQueue.queuedBytes, 0);
  });
}

test('a big message goes as fragments, and only part of it is handed over at once', async (t) => {
  const { sendQueue, rawSocket, peer, hear } = await connectPair(t);
  const written = t.mock.method(rawSocket, 'write');
  // A header and its content each.
  const handedOver = () => written.mock.callCount() / 2;
  peer.pause();
  sendQueue.send([Buffer.from(UNREAD)]);
  while (rawSocket.writableLength === 0) await new Promise(setImmediate);
  const atFirst = handedOver();
  assert.ok(atFirst > 1 && atFirst < 200, `${atFirst} fragments at first`);
  peer.resume();
  await hear(1);
  assert.equal(handedOver(), 256);
});

test('what is sent in one turn goes to the system at once', async (t) => {
  const { sendQueue, rawSocket, hear } = await connectPair(t);
  const written = t.mock.method(rawSocket, 'write');
  for (let i = 0; i < 20; i++) sendQueue.send(`message ${i}`);
  assert.equal(written.mock.callCount(), 0);
  assert.deepEqual(
    await hear(20),
    Array.from({ length: 20 }, (_, i) => `message ${i}`),
  );
  assert.equal(written.mock.callCount(), 1);
});

test('nothing is sent after a close, and what was sent before a dismissal comes before it', async (t) => {
  const closed = await connectPair(t);
  const closing = once(closed.peer, 'close');
  closed.socket.close(1000, 'bye');
  closed.sendQueue.send('too late');
  const dismissed = await connectPair(t);
  const dismissing = once(dismissed.peer, 'close');
  dismissed.sendQueue.send('why');
  dismissed.sendQueue.closeNow(1008, 'gone');
  assert.deepEqual([(await closing)[0], (await dismissing)[0]], [1000, 1008]);
  assert.deepEqual([await closed.hear(0), await dismissed.hear(1)], [[], ['why']]);
});

test('what was sent in the turn of a close of ws itself is left out: nothing may follow it', async (t) => {
  const { sendQueue, socket, rawSocket, peer } = await connectPair(t);
  const written = t.mock.method(rawSocket, 'write');
  const closing = once(peer, 'close');
  sendQueue.send('in the same turn');
  socket.close(1000, 'bye');
  assert.equal((await closing)[0], 1000);
  assert.ok(written.mock.calls.every(({ arguments: [chunk] }) => !String(chunk).includes('turn')));
});

test('what is shared goes to each socket at once, as the same bytes, and nothing of it waits', async (t) => {
  const [one, two] = [await connectPair(t), await connectPair(t)];
  const written = [one, two].map(({ rawSocket }) => t.mock.method(rawSocket, 'write'));
  const { message, count } = shared('for both');
  const hold = message.share();
  for (const { sendQueue } of [one, two]) sendQueue.sendShared(message);
  const calls = written.map(({ mock }) => mock.calls.map((call) => call.arguments));
  assert.deepEqual(
    calls.map(({ length }) => length),
    [1, 1],
  );
  const [first, second] = calls.map(([only]) => only);
  assert.equal(first?.[0], second?.[0]);
  assert.deepEqual([first?.length, one.count.bytes, two.count.bytes], [1, 0, 0]);
  assert.equal(count.freed, 0);
  hold();
  assert.equal(count.freed, 1);
  assert.deepEqual([await one.hear(1), await two.hear(1)], [['for both'], ['for both']]);
});

test('what is shared keeps its place among other messages, of any size, and without a raw socket', async (t) => {
  for (const isRaw of [true, false]) {
    const { sendQueue, hear } = await connectPair(t, { isRaw });
    const long = shared('x'.repeat(100_000));
    const short = shared('short');
    sendQueue.send('first');
    for (const { message } of [short, long, short]) sendQueue.sendShared(message);
    sendQueue.send('last');
    const heard = await hear(5);
    assert.deepEqual(
      heard.map((text) => text.slice(0, 5)),
      ['first', 'short', 'xxxxx', 'short', 'last'],
    );
    await sendQueue.drained(0);
    assert.deepEqual([long.count.freed, short.count.freed], [1, 1]);
  }
});

test('a peer that takes nothing holds what is shared, which is counted until it has taken it', async (t) => {
  const { sendQueue, rawSocket, peer, hear, count } = await connectPair(t);
  peer.pause();
  const messages = Array.from({ length: 2000 }, (_, i) => shared(`${i}:`.padEnd(10_000, 'x')));
  let sent = 0;
  const send = () => {
    const next = messages[sent++];
    assert.ok(next !== undefined, 'the kernel takes less than 20 MB');
    const hold = next.message.share();
    sendQueue.sendShared(next.message);
    hold();
    return next;
  };
  let last = send();
  // The kernel takes some, in this turn and as the peer's part of it is filled.
  while (rawSocket.writableLength === 0) {
    assert.deepEqual([last.count.freed, sendQueue.queuedBytes], [1, 0]);
    last = send();
  }
  assert.equal(last.count.freed, 0);
  assert.ok(sendQueue.queuedBytes >= 10_000);
  assert.equal(count.bytes, sendQueue.queuedBytes);
  for (let i = 0; i < 5; i++) last = send();
  sendQueue.send('after them');
  assert.equal(last.count.freed, 0);
  peer.resume();
  const heard = await hear(sent + 1);
  assert.deepEqual(
    heard.slice(0, -1).map((text) => text.slice(0, text.indexOf(':'))),
    messages.slice(0, sent).map((_, i) => String(i)),
  );
  assert.equal(heard.at(-1), 'after them');
  await sendQueue.drained(0);
  assert.deepEqual([sendQueue.queuedBytes, count.bytes], [0, 0]);
  assert.ok(messages.slice(0, sent).every(({ count }) => count.freed === 1));
});

test('what is shared is left out after a close, comes before a dismissal, and is let go of at the end', async (t) => {
  const closed = await connectPair(t);
  const written = t.mock.method(closed.rawSocket, 'write');
  const closing = once(closed.peer, 'close');
  closed.socket.close(1000, 'bye');
  closed.sendQueue.sendShared(shared('too late').message);
  assert.equal((await closing)[0], 1000);
  assert.ok(written.mock.calls.every(({ arguments: [chunk] }) => !String(chunk).includes('late')));
  const dismissed = await connectPair(t);
  const dismissing = once(dismissed.peer, 'close');
  dismissed.sendQueue.sendShared(shared('why').message);
  dismissed.sendQueue.closeNow(1008, 'gone');
  assert.equal((await dismissing)[0], 1008);
  assert.deepEqual(await dismissed.hear(1), ['why']);
  const gone = await connectPair(t);
  gone.peer.pause();
  const messages: ReturnType<typeof shared>[] = [];
  while (gone.rawSocket.writableLength === 0) {
    const next = shared('x'.repeat(10_000));
    messages.push(next);
    const hold = next.message.share();
    gone.sendQueue.sendShared(next.message);
    hold();
  }
  const drained = gone.sendQueue.drained(0);
  gone.peer.terminate();
  await drained;
  assert.deepEqual([gone.sendQueue.queuedBytes, gone.count.bytes], [0, 0]);
  assert.ok(messages.every(({ count }) => count.freed === 1));
});

test('big and small messages arrive in the order in which they were sent', async (t) => {
  const { sendQueue, hear } = await connectPair(t);
  const messages: string[] = [];
  for (let i = 0; i < 30; i++) messages.push(`${i}:`.padEnd(i % 3 === 0 ? 400_000 : 10, 'x'));
  for (const message of messages) sendQueue.send(message);
  assert.deepEqual(
    (await hear(messages.length)).map((text) => text.slice(0, 3)),
    messages.map((text) => text.slice(0, 3)),
  );
});

test('what waits is counted, and drained() tells when little enough of it is left', async (t) => {
  const { sendQueue, count, hear } = await connectPair(t);
  await sendQueue.drained(0);
  sendQueue.send(UNREAD);
  sendQueue.send(UNREAD);
  assert.ok(sendQueue.queuedBytes >= 2 * UNREAD.length, 'all of it, and what it costs to keep');
  assert.ok(sendQueue.queuedBytes < 2 * UNREAD.length + KIB);
  assert.equal(count.bytes, sendQueue.queuedBytes);
  await sendQueue.drained(UNREAD.length);
  assert.ok(sendQueue.queuedBytes <= UNREAD.length && sendQueue.queuedBytes > 0);
  await sendQueue.drained(0);
  assert.deepEqual([sendQueue.queuedBytes, count.bytes, sendQueue.stalledMs], [0, 0, 0]);
  assert.equal((await hear(2)).length, 2);
});

test('when the socket closes nobody waits for it any more, and nothing is counted', async (t) => {
  const { sendQueue, peer, count } = await connectPair(t);
  peer.pause();
  sendQueue.send(UNREAD);
  const drained = sendQueue.drained(0);
  peer.terminate();
  await drained;
  assert.deepEqual([sendQueue.isOpen, sendQueue.queuedBytes, count.bytes], [false, 0, 0]);
  sendQueue.send('nobody hears it');
  assert.equal(sendQueue.queuedBytes, 0);
  await sendQueue.drained(0);
});

test('each sender is told once when its message has been written out, or never will be', async (t) => {
  const { sendQueue, peer, hear } = await connectPair(t);
  const told = new Map<string, number>();
  const send = (name: string, text: string) =>
    sendQueue.send(text, () => told.set(name, (told.get(name) ?? 0) + 1));
  send('small', 'x');
  send('big', 'x'.repeat(1_000_000));
  assert.equal(told.size, 0);
  await hear(2);
  await sendQueue.drained(0);
  assert.deepEqual(
    [...told],
    [
      ['small', 1],
      ['big', 1],
    ],
  );
  peer.pause();
  send('under way', UNREAD);
  send('queued', 'x');
  const drained = sendQueue.drained(0);
  await new Promise(setImmediate);
  send('handed over just then', 'x');
  assert.equal(told.size, 2);
  peer.terminate();
  await drained;
  send('too late', 'x');
  for (const name of ['under way', 'queued', 'handed over just then', 'too late']) {
    assert.equal(told.get(name), 1, name);
  }
});

test('closing sends what is queued first, and takes nothing more', async (t) => {
  const { sendQueue, peer, hear } = await connectPair(t);
  const closed = once(peer, 'close');
  sendQueue.send('x'.repeat(1_000_000));
  sendQueue.send('the reason');
  sendQueue.close(1013, 'try again');
  sendQueue.close(1001, 'not heard');
  assert.equal(sendQueue.isOpen, false);
  sendQueue.send('too late');
  const [code, reason] = await closed;
  assert.deepEqual([code, String(reason)], [1013, 'try again']);
  const heard = await hear(2);
  assert.deepEqual([heard.length, heard[1]], [2, 'the reason']);
});

test('a peer that takes nothing is cut soon after the close, whatever waits for it', async (t) => {
  const { sendQueue, socket, peer, count } = await connectPair(t);
  const closed = once(socket, 'close');
  peer.pause();
  sendQueue.send(UNREAD);
  sendQueue.close(1013, 'too slow');
  await closed;
  assert.equal(count.bytes, 0);
});

test('a peer counts as stalled for as long as it has taken nothing of what waits', async (t) => {
  const { sendQueue, peer, hear } = await connectPair(t);
  assert.equal(sendQueue.stalledMs, 0);
  peer.pause();
  sendQueue.send(UNREAD);
  const fullAt = performance.now();
  // It stalls once the kernel's buffers are full; then the time only grows.
  let stalledMs = sendQueue.stalledMs;
  while (stalledMs < 50) {
    await new Promise(setImmediate);
    stalledMs = sendQueue.stalledMs;
  }
  assert.ok(performance.now() - fullAt >= 50);
  peer.resume();
  await hear(1);
  await sendQueue.drained(0);
  assert.equal(sendQueue.stalledMs, 0);
});

test('pause() stops what comes from the peer, and resume() goes on with it', async (t) => {
  const { sendQueue, socket, peer } = await connectPair(t);
  const messages: string[] = [];
  socket.on('message', (data) => messages.push(String(data)));
  sendQueue.pause();
  peer.send('hello');
  const pong = once(peer, 'message');
  sendQueue.send('it still sends');
  await pong;
  assert.deepEqual(messages, []);
  const heard = once(socket, 'message');
  sendQueue.resume();
  await heard;
  assert.deepEqual(messages, ['hello']);
});
