/** Messages that are compressed over WebSocket, both ways: permessage-deflate. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { deflateRawSync } from 'node:zlib';
import type WebSocket from 'ws';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { FrameTally } from '../../src/sessions/frame-tally.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';
import { transactionIds } from './look.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Compresses whatever it sends, as browsers do. */
const EAGER = { perMessageDeflate: { threshold: 0 } };

async function start(t: TestContext, config: CoordinatorConfigInput = {}) {
  const compression = { websocket: true };
  const server = await startServer(t, { config: { storage: 'memory:', compression, ...config } });
  const open = async (options: WebSocket.ClientOptions = EAGER) => {
    const client = await TestClient.open(server.wsUrl, options);
    t.after(() => client.socket.terminate());
    return client;
  };
  const join = async (device: Device, options: WebSocket.ClientOptions = EAGER) => {
    const client = await open(options);
    client.send({ type: 'handshake', siteId: device.siteId, protocolVersion: 1 });
    await client.next('handshake_ack');
    return client;
  };
  /** All that messages which have arrived hold. */
  const isFree = async () => {
    const { arrived, answers } = server.service.memory;
    while (arrived.held > 0 || answers.held > 0) await aMoment();
  };
  return { server, open, join, isFree };
}

/** What the server sends of a client's messages, compressed and in all. */
function counted(client: TestClient) {
  const socket: Socket = Reflect.get(client.socket, '_socket');
  const tally = new FrameTally();
  const from = socket.bytesRead;
  socket.prependListener('data', (bytes) => tally.read(bytes));
  return {
    get deflated() {
      return tally.deflatedBytes;
    },
    get all() {
      return socket.bytesRead - from;
    },
  };
}

function batch(device: Device, from: number, count: number) {
  return Array.from({ length: count }, (_, i) =>
    device.write({ pk: [from + i], set: { text: `row ${i} of many that are alike` } }),
  );
}

async function allChanges(client: TestClient): Promise<string[]> {
  client.send({ type: 'get_changes', requestId: 'all' });
  const ids: string[] = [];
  for (;;) {
    const message = (await client.next('changes')) as ChangeSetsMessage;
    ids.push(...transactionIds(message.changeSets));
    if (message.hasMore !== true) return ids;
  }
}

/** Sends a message that was compressed before, whole or in so many frames. */
function sendDeflated({ socket }: TestClient, message: Buffer, frames = 1): void {
  const raw: Socket = Reflect.get(socket, '_socket');
  const size = Math.ceil(message.length / frames);
  for (let i = 0; i < frames; i++) {
    const payload = message.subarray(i * size, (i + 1) * size);
    const header = Buffer.alloc(14);
    header[0] = (i === 0 ? 0x41 : 0) | (i === frames - 1 ? 0x80 : 0);
    header[1] = 0xff;
    header.writeBigUInt64BE(BigInt(payload.length), 2);
    raw.write(Buffer.concat([header, payload]));
  }
}

const deflated = (text: string) => deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4);

test('catching up and a snapshot come compressed, pushes and small answers do not', async (t) => {
  const { join, isFree } = await start(t);
  const device = new Device(1);
  const [writer, listener] = [await join(device), await join(new Device(2))];
  const pushed = counted(listener);
  const changes = batch(device, 0, 4000);
  assert.equal((await writer.apply(...changes)).applied, 4000);
  while ((await listener.nextPush()).at(-1)?.transactionId !== changes.at(-1)?.transactionId);
  assert.equal(pushed.deflated, 0);
  const reader = await join(new Device(3));
  const read = counted(reader);
  assert.deepEqual(
    await allChanges(reader),
    changes.map(({ transactionId }) => transactionId),
  );
  assert.ok(read.deflated > 0 && read.all < pushed.all / 5, `${read.all} of ${pushed.all}`);
  const before = read.deflated;
  assert.equal((await reader.changesSince(writer.log.at(-1)?.hlc as string)).length >= 0, true);
  reader.send({ type: 'get_snapshot' });
  await reader.next('snapshot_complete');
  const chunks = reader.log.filter(({ type }) => type === 'snapshot_chunk');
  assert.equal(JSON.stringify(chunks).match(/many that are alike/g)?.length, 4000);
  assert.ok(read.deflated > before);
  const { deflated: bytes } = read;
  await reader.settled();
  assert.equal(read.deflated, bytes);
  await isFree();
});

test('where it is off, or was not offered, nothing is compressed', async (t) => {
  const device = new Device(1);
  const off = await start(t, { compression: { websocket: false } });
  assert.equal((await off.join(device)).socket.extensions, '');
  const { join } = await start(t);
  const plain = await join(device, { perMessageDeflate: false });
  await plain.apply(...batch(device, 0, 1000));
  const read = counted(plain);
  const reader = await join(new Device(2), { perMessageDeflate: false });
  const all = counted(reader);
  assert.equal((await allChanges(reader)).length, 1000);
  assert.deepEqual([read.deflated, all.deflated], [0, 0]);
});

test('odd offers are passed over, and the client goes on without', async (t) => {
  const { server } = await start(t);
  const offered: [string, string][] = [
    ['permessage-deflate', 'permessage-deflate'],
    ['permessage-deflate; client_max_window_bits', 'permessage-deflate'],
    ['x; a="b,c", permessage-deflate; client_max_window_bits=9', 'permessage-deflate'],
    ['permessage-deflate; server_max_window_bits=9, permessage-deflate', 'permessage-deflate'],
    ['permessage-deflate; server_max_window_bits=9', ''],
    ['permessage-deflate; server_max_window_bits=0', ''],
    ['permessage-deflate; client_max_window_bits=16', ''],
    ['permessage-deflate; client_no_context_takeover=1', ''],
    ['permessage-deflate; a', ''],
    ['permessage-deflate; client_max_window_bits; client_max_window_bits', ''],
    ['permessage-deflate;;', ''],
    [', ;=', ''],
    ['__proto__; constructor', ''],
  ];
  for (const [offer, agreed] of offered) {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': 13,
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Extensions': offer,
    };
    const asked = get(server.wsUrl.replace('ws:', 'http:'), { headers });
    const [answer, socket] = await once(asked, 'upgrade');
    socket.destroy();
    const [name = ''] = (answer.headers['sec-websocket-extensions'] ?? '').split(';');
    assert.equal(name, agreed, offer);
  }
});

test('whatever a client compresses is understood, in its order, in one frame or in many', async (t) => {
  const { server, open, join, isFree } = await start(t);
  const device = new Device(1);
  const client = await open();
  const [long, short] = [
    device.write({ pk: [1], set: { x: 'x'.repeat(2 * MIB) } }),
    device.write({ pk: [2], set: { x: 1 } }),
  ];
  // In one turn: what follows the handshake may be longer than that.
  client.send({ type: 'handshake', siteId: device.siteId, protocolVersion: 1 });
  client.send({ type: 'apply_changes', changes: [long], requestId: 'long' });
  client.send({ type: 'apply_changes', changes: [short], requestId: 'short' });
  client.socket.send(JSON.stringify({ type: 'ping' }), { compress: false });
  await client.next('pong');
  await client.nextWhere(({ requestId }) => requestId === 'short');
  for (const frames of [1, 2, 7, 200]) {
    const changes = batch(device, frames * 1000, 50);
    const message = JSON.stringify({ type: 'apply_changes', changes, requestId: `in ${frames}` });
    sendDeflated(client, deflated(message), frames);
    const answer = await client.nextWhere(({ requestId }) => requestId === `in ${frames}`);
    assert.equal(answer.applied, 50);
  }
  for (let i = 0; i < 2000; i++) client.send({ type: 'ping' });
  for (let i = 0; i < 2000; i++) await client.next('pong');
  assert.deepEqual(
    client.log
      .filter(({ requestId }) => requestId === 'long' || requestId === 'short')
      .map(({ type, applied }) => [type, applied]),
    [
      ['apply_result', 1],
      ['apply_result', 1],
    ],
  );
  const reader = await join(new Device(2));
  assert.equal((await allChanges(reader)).length, 202);
  assert.equal(server.service.connections, 2);
  await isFree();
});

test('a client that catches up while others write gets everything once, in the order of positions', async (t) => {
  const { join } = await start(t);
  const device = new Device(1);
  const [writer, reader] = [await join(device), await join(new Device(2))];
  await writer.apply(...batch(device, 0, 3000));
  const isLast = ({ type }: { type: string }) => type === 'changes';
  reader.send({ type: 'get_changes', requestId: 'all' });
  const late: string[] = [];
  for (let i = 0; i < 50; i++) {
    const [changeSet] = batch(device, 10_000 + i, 1);
    if (changeSet === undefined) continue;
    late.push(changeSet.transactionId);
    await writer.apply(changeSet);
  }
  await reader.nextWhere((message) => isLast(message) && message.hasMore !== true);
  await reader.settled();
  const last = late.at(-1) ?? '';
  const sets = () =>
    reader.log
      .filter(({ type }) => type === 'changes' || type === 'push_changes')
      .flatMap((message) => (message as ChangeSetsMessage).changeSets);
  while (!transactionIds(sets()).includes(last)) await reader.nextPush();
  // The 3,000 were pushed to it before it asked for them.
  const positions = sets()
    .slice(-50)
    .map(({ hlc }) => Buffer.from(hlc, 'base64').toString('hex'));
  assert.deepEqual(
    transactionIds(sets()).filter((id) => late.includes(id)),
    late,
  );
  assert.deepEqual(positions, positions.toSorted());
});

test('what becomes longer than limits.messageBytes is refused, however short it was', async (t) => {
  const { join, isFree } = await start(t, { limits: { messageBytes: MIB } });
  for (const [what, bytes] of [
    ['long', 20 * MIB],
    ['a little long', MIB + 1],
  ] as const) {
    const [bomber, other] = [await join(new Device(1)), await join(new Device(2))];
    sendDeflated(bomber, deflated('x'.repeat(bytes)));
    assert.equal((await bomber.next('error')).code, 'TOO_LARGE', what);
    assert.equal((await bomber.closed).code, 1009, what);
    await other.settled();
  }
  const client = await join(new Device(3));
  sendDeflated(client, deflated(`{"type":"ping"${' '.repeat(MIB - 15)}}`));
  await client.next('pong');
  await isFree();
});

test('before the handshake limits.handshakeBytes holds for what is inflated', async (t) => {
  const { open } = await start(t, { limits: { handshakeBytes: 32 * KIB } });
  for (const bytes of [33 * KIB, 200 * KIB, 10 * MIB]) {
    const client = await open();
    sendDeflated(client, deflated('x'.repeat(bytes)));
    const { code, message } = await client.next('error');
    assert.equal(code, 'TOO_LARGE');
    assert.match(String(message), /limits\.handshakeBytes/);
    assert.equal((await client.closed).code, 1009);
  }
});

test('what can not be inflated closes its socket, and only that', async (t) => {
  const { join, isFree } = await start(t);
  const other = await join(new Device(2));
  for (const bytes of [20, 20_000]) {
    const client = await join(new Device(1));
    sendDeflated(client, Buffer.alloc(bytes, 0xff));
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal], ['MESSAGE_ERROR', false]);
    await client.closed;
  }
  await other.settled();
  await isFree();
});

test('many bombs at once take no more memory than messages may, and then it is free', async (t) => {
  const bytesInFlight = 64 * MIB;
  const { server, join, isFree } = await start(t, {
    limits: { bytesInFlight, messageBytes: 4 * MIB },
  });
  const { arrived } = server.service.memory;
  const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => join(new Device(i + 1))));
  const bomb = deflated(`"${'x'.repeat(3 * MIB)}"`);
  let peak = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      peak = Math.max(peak, arrived.held);
      await nextTurn();
    }
  })();
  for (const client of clients) for (let i = 0; i < 3; i++) sendDeflated(client, bomb);
  // Some go amid it.
  for (const client of clients.slice(8)) client.socket.terminate();
  for (const client of clients.slice(0, 8)) {
    for (let i = 0; i < 3; i++) assert.equal((await client.next('error')).code, 'MESSAGE_ERROR');
  }
  isOver = true;
  await watching;
  // A quarter of it is for what arrives; one at a time may exceed it.
  assert.ok(peak < bytesInFlight / 4 + 4 * MIB, `${peak} bytes`);
  for (const { socket } of clients) socket.terminate();
  await isFree();
});

test('a peer that stops reading compressed answers, or goes, holds nothing in the end', async (t) => {
  const { server, join, isFree } = await start(t, { limits: { stalledMs: 300 } });
  const device = new Device(1);
  const writer = await join(device);
  for (let i = 0; i < 20; i++) {
    // Hardly compressible.
    const x = randomBytes(700 * KIB).toString('base64');
    await writer.apply(device.write({ pk: [i], set: { x } }));
  }
  for (const type of ['get_changes', 'get_snapshot']) {
    const [stalled, gone] = [await join(new Device(2)), await join(new Device(3))];
    stalled.socket.pause();
    for (const client of [stalled, gone]) client.send({ type, requestId: type });
    gone.socket.terminate();
    const { socketsStalled } = server.service.metrics;
    const count = async () => (await socketsStalled.get()).values[0]?.value ?? 0;
    const before = await count();
    while ((await count()) === before) await aMoment();
    stalled.socket.resume();
    await once(stalled.socket, 'close');
    await isFree();
  }
  assert.equal(server.service.queuedBytes(), 0);
});
