/** What is under way is held within its budgets: beyond them it waits, and honest clients notice no more. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import { WORK_FACTOR } from '../../src/service/memory-budgets.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

const FAIL = { timeout: 30_000 };
const KIB = 1024;

/** A batch of about so many bytes. */
function batch(device: Device, bytes: number): string {
  return JSON.stringify([device.write({ pk: [1], set: { text: 'x'.repeat(bytes) } })]);
}

function post({ httpUrl }: TestServer, device: Device, body: string): Promise<Response> {
  const headers = { 'x-site-id': device.siteId };
  return fetch(`${httpUrl}/changes`, { method: 'POST', headers, body });
}

/** A server whose hook holds up every batch until it is told, and counts those that it has seen. */
async function startHeldUp(t: TestContext, limits: CoordinatorConfigInput['limits']) {
  const gate = deferred();
  t.after(() => gate.resolve());
  const seen = { count: 0 };
  const hooks: CodeHooks = {
    async onBeforeApplyChanges(_client, changes) {
      seen.count++;
      await gate.promise;
      return { approved: changes, rejected: [] };
    },
  };
  const server = await startServer(t, { config: { storage: 'memory:', limits }, hooks });
  const { arrived, worked, answers } = server.service.memory;
  const held = () => arrived.held + worked.held + answers.held;
  return { server, gate, seen, held };
}

async function until(t: TestContext, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    t.signal.throwIfAborted();
    await new Promise(setImmediate);
  }
}

test(
  'bodies of many clients are read one after the other where there is room for one',
  FAIL,
  async (t) => {
    const { server, gate, seen, held } = await startHeldUp(t, { bytesInFlight: 400 * KIB });
    const posted = [1, 2, 3, 4].map((number) => {
      const device = new Device(number);
      return post(server, device, batch(device, 90 * KIB));
    });
    await until(t, () => seen.count === 1);
    const { arrived } = server.service.memory;
    // One body may be read to its end beyond the bound.
    assert.ok(arrived.held <= 200 * KIB, `${arrived.held} bytes are held`);
    gate.resolve();
    const statuses = (await Promise.all(posted)).map(({ status }) => status);
    assert.deepEqual(statuses, [200, 200, 200, 200]);
    assert.equal(seen.count, 4);
    await until(t, () => held() === 0);
  },
);

test('one user takes no more than its share, and another is served', FAIL, async (t) => {
  const gate = deferred();
  t.after(() => gate.resolve());
  const seen: string[] = [];
  const server = await startServer(t, {
    config: { storage: 'memory:', limits: { bytesInFlightPerClient: 100 * KIB } },
    hooks: {
      onAuthenticate: ({ siteId = new Uint8Array(16), token }) => ({ siteId, userId: token }),
      async onBeforeApplyChanges({ userId }, changes) {
        seen.push(userId ?? '');
        if (userId === 'anna') await gate.promise;
        return { approved: changes, rejected: [] };
      },
    },
  });
  const postAs = (token: string, number: number) => {
    const device = new Device(number);
    const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${token}` };
    const body = batch(device, 90 * KIB);
    return fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body });
  };
  const ofAnna = [postAs('anna', 1), postAs('anna', 2), postAs('anna', 3)];
  await until(t, () => seen.length === 1);
  assert.equal((await postAs('ben', 4)).status, 200);
  assert.deepEqual(seen, ['anna', 'ben']);
  gate.resolve();
  for (const { status } of await Promise.all(ofAnna)) assert.equal(status, 200);
});

test(
  'a message that there is no room for waits on its socket, and takes effect',
  FAIL,
  async (t) => {
    const { server, gate, seen, held } = await startHeldUp(t, { bytesInFlight: 400 * KIB });
    const devices = [1, 2, 3].map((number) => new Device(number));
    const clients = await Promise.all(
      devices.map((device) => TestClient.join(server.wsUrl, device, t)),
    );
    const answers = clients.map((client, i) => {
      const device = devices[i] ?? new Device(9);
      return client.apply(device.write({ pk: [i], set: { text: 'x'.repeat(300 * KIB) } }));
    });
    await until(t, () => seen.count === 1);
    gate.resolve();
    for (const { applied } of await Promise.all(answers)) assert.equal(applied, 1);
    for (const client of clients) await client.settled();
    await until(t, () => held() === 0);
  },
);

/** One record shall be more than sockets hold. */
const LONG = { valueBytes: 32 * KIB * KIB, rowBytes: 32 * KIB * KIB };

test(
  'pages that nobody takes are counted, and no more are read than may be held',
  FAIL,
  async (t) => {
    const page = 16 * KIB * KIB;
    const config = { storage: 'memory:', limits: { ...LONG, answerBytes: page } };
    const server = await startServer(t, { config });
    const device = new Device(1);
    const writer = await TestClient.join(server.wsUrl, device, t);
    await writer.apply(device.write({ pk: [1], set: { text: 'x'.repeat(page) } }));
    const { answers } = server.service.memory;
    const sockets = [];
    for (let i = 2; i < 8; i++) {
      const socket = await connectRaw(t, server);
      socket.pause();
      const site = new Device(i).siteId;
      socket.write(`GET /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\n\r\n`);
      sockets.push(socket);
    }
    await until(t, () => answers.held > page);
    // Another that is asked for at the same time waits until the first has been taken.
    assert.equal((await fetch(`${server.httpUrl}/status`)).status, 200);
    assert.ok(answers.held < page + KIB, `${answers.held} bytes are held`);
    assert.match(
      await (await fetch(`${server.httpUrl}/metrics`)).text(),
      /^sync_queued_bytes 1\d{7}$/m,
    );
    for (const socket of sockets) socket.destroy();
    await until(t, () => answers.held === 0);
  },
);

test('long answers to batches over HTTP that nobody takes are counted', FAIL, async (t) => {
  const config = { storage: 'memory:', limits: { ...LONG, answerBytes: 4 * KIB * KIB } };
  const server = await startServer(t, { config });
  const { answers, worked } = server.service.memory;
  // Of another device, so each change is named in the answer.
  const rows = Array.from({ length: 40_000 }, (_, i) => ({ pk: [i], set: { a: 'x' } }));
  const body = JSON.stringify([new Device(1).write(...rows)]);
  const { siteId } = new Device(2);
  const sockets = [];
  for (let i = 0; i < 3; i++) {
    const socket = await connectRaw(t, server);
    socket.pause();
    socket.write(
      `POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${siteId}\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    sockets.push(socket);
  }
  await until(t, () => answers.held > 0);
  const one = answers.held;
  // The others wait for room, within the memory for their work.
  await until(t, () => worked.held === 2 * WORK_FACTOR * body.length);
  assert.equal(answers.held, one);
  assert.equal(server.service.memory.httpBytes, one);
  for (const socket of sockets) socket.destroy();
  await until(t, () => answers.held + worked.held === 0);
});

/** Of a long row a snapshot counts what is stored, written and sent: as much as one at a time takes. */
for (const [type, times] of [
  ['get_changes', 3],
  ['get_snapshot', 5],
] as const) {
  test(
    `${type}: answers over WebSocket that nobody takes are held within the bound`,
    FAIL,
    async (t) => {
      const long = 16 * KIB * KIB;
      const config = { storage: 'memory:', limits: { ...LONG, answerBytes: long } };
      const server = await startServer(t, { config });
      const device = new Device(1);
      const writer = await TestClient.join(server.wsUrl, device, t);
      await writer.apply(device.write({ pk: [1], set: { text: 'x'.repeat(long) } }));
      const { answers } = server.service.memory;
      const readers = [];
      let most = 0;
      for (let i = 2; i < 10; i++) {
        const reader = await TestClient.join(server.wsUrl, new Device(i), t);
        reader.socket.pause();
        reader.send({ type });
        readers.push(reader);
      }
      await until(t, () => answers.held > long);
      for (let i = 0; i < 20; i++) {
        await writer.settled();
        most = Math.max(most, answers.held);
      }
      // Two may have begun before it was known how long the answer is.
      assert.ok(most < times * long, `${most} bytes are held`);
      for (const { socket } of readers) socket.terminate();
      await until(t, () => answers.held === 0);
    },
  );
}

for (const overHttp of [false, true]) {
  test(
    `of ${overHttp ? 'HTTP' : 'WebSocket'} snapshots that nobody takes one at a time has a long row in memory`,
    FAIL,
    async (t) => {
      const long = 16 * KIB * KIB;
      const limits = { ...LONG, answerBytes: 2 * long, answerBytesPerClient: 2 * long };
      const server = await startServer(t, { config: { storage: 'memory:', limits } });
      const device = new Device(1);
      const writer = await TestClient.join(server.wsUrl, device, t);
      await writer.apply(device.write({ pk: [1], set: { text: 'x'.repeat(long) } }));
      const { answers } = server.service.memory;
      const readers: { ask(): void; leave(): void }[] = [];
      for (let i = 2; i < 22; i++) {
        const { siteId } = new Device(i);
        const headers = `Host: localhost\r\nX-Site-Id: ${siteId}\r\n`;
        if (overHttp) {
          const socket = await connectRaw(t, server);
          socket.pause();
          const ask = () => socket.write(`GET /sync/snapshot HTTP/1.1\r\n${headers}\r\n`);
          readers.push({ ask, leave: () => socket.destroy() });
        } else {
          const { socket } = await TestClient.join(server.wsUrl, new Device(i), t);
          socket.pause();
          const ask = () => socket.send('{"type":"get_snapshot"}');
          readers.push({ ask, leave: () => socket.terminate() });
        }
      }
      // All have begun before any of them comes to the row.
      const others = await answers.reserve('others', 2 * long);
      for (const { ask } of readers) ask();
      for (let i = 0; i < 20; i++) await writer.settled();
      others.give();
      let most = 0;
      await until(t, () => answers.held > long);
      for (let i = 0; i < 20; i++) {
        await writer.settled();
        most = Math.max(most, answers.held);
      }
      assert.ok(most < 4 * long + 20 * KIB * KIB, `${most} bytes are held`);
      for (const { leave } of readers) leave();
      await until(t, () => answers.held === 0);
    },
  );
}

test('a snapshot over HTTP that nobody takes is counted, until it has gone', FAIL, async (t) => {
  const long = 16 * KIB * KIB;
  const server = await startServer(t, { config: { storage: 'memory:', limits: LONG } });
  const device = new Device(1);
  const writer = await TestClient.join(server.wsUrl, device, t);
  await writer.apply(device.write({ pk: [1], set: { text: 'x'.repeat(long) } }));
  const { answers } = server.service.memory;
  const socket = await connectRaw(t, server);
  socket.pause();
  const site = new Device(2).siteId;
  socket.write(`GET /sync/snapshot HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\n\r\n`);
  await until(t, () => answers.held > long);
  socket.destroy();
  await until(t, () => answers.held === 0);
  const headers = { 'x-site-id': site };
  const whole = await (await fetch(`${server.httpUrl}/snapshot`, { headers })).text();
  assert.ok(whole.length > long);
  await until(t, () => answers.held === 0);
});

test('what is held is given back, however it ended', FAIL, async (t) => {
  const { server, held, gate } = await startHeldUp(t, {});
  gate.resolve();
  const device = new Device(1);
  const headers = `Host: localhost\r\nX-Site-Id: ${device.siteId}\r\n`;
  // Goes away in the middle of a body, of a message, and before an answer.
  const body = await connectRaw(t, server);
  body.write(`POST /sync/changes HTTP/1.1\r\n${headers}Content-Length: 1000000\r\n\r\n[`);
  body.write(' '.repeat(300 * KIB));
  const client = await TestClient.join(server.wsUrl, device, t);
  client.socket.send('x'.repeat(300 * KIB), { fin: false });
  await until(t, () => held() > 400 * KIB);
  body.destroy();
  client.socket.terminate();
  await until(t, () => held() === 0);
  const answer = await connectRaw(t, server);
  answer.write(`GET /sync/changes HTTP/1.1\r\n${headers}\r\n`);
  answer.destroy();
  // Refused, not JSON, too large, and of another page of the log.
  assert.equal((await post(server, device, '[')).status, 400);
  assert.equal((await post(server, device, 'x'.repeat(33 * KIB * KIB))).status, 413);
  const asked = { headers: { 'x-site-id': device.siteId } };
  assert.equal((await fetch(`${server.httpUrl}/changes?sinceHLC=x`, asked)).status, 400);
  assert.equal((await fetch(`${server.httpUrl}/changes`, asked)).status, 200);
  const other = await TestClient.join(server.wsUrl, new Device(2), t);
  other.socket.send(`{"type":"nothing","padding":"${'x'.repeat(100 * KIB)}"}`);
  assert.equal((await other.next('error')).code, 'UNKNOWN_MESSAGE');
  await until(t, () => held() === 0);
  const closed = once(other.socket, 'close');
  other.socket.terminate();
  await closed;
});
