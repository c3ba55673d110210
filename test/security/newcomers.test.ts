/** Before anybody is known: what a stranger may cost, and that others get in all the same. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

/** A bound that does not hold shows in nothing happening: so that such a test fails, and ends. */
const FAIL = { timeout: 20_000 };

async function start(
  t: TestContext,
  limits: CoordinatorConfigInput['limits'],
  hooks?: CodeHooks,
): Promise<TestServer> {
  return startServer(t, { config: { storage: 'memory:', limits }, hooks });
}

async function stranger(t: TestContext, { wsUrl }: TestServer): Promise<TestClient> {
  const client = await TestClient.open(wsUrl);
  t.after(() => client.socket.terminate());
  return client;
}

async function unauthenticated({ service }: TestServer): Promise<number | undefined> {
  const metric = service.metrics.registry.getSingleMetric('sync_sockets_unauthenticated');
  return (await metric?.get())?.values[0]?.value;
}

async function untilUnauthenticated(server: TestServer, count: number): Promise<void> {
  while ((await unauthenticated(server)) !== count) await aMoment();
}

test(
  'a first message larger than limits.handshakeBytes is refused, and not read to its end',
  FAIL,
  async (t) => {
    const server = await start(t, {});
    const connected = once(server.app.websocketServer, 'connection');
    const client = await stranger(t, server);
    const [accepted] = await connected;
    let messages = 0;
    accepted.on('message', () => messages++);
    client.send({ type: 'handshake', siteId: new Device(1).siteId, token: 'x'.repeat(30_000_000) });
    assert.equal((await client.nextWhere(() => true)).code, 'TOO_LARGE');
    assert.equal((await client.closed).code, 1009);
    assert.equal(messages, 0);
  },
);

test('many small messages before the handshake are counted together', FAIL, async (t) => {
  const server = await start(t, { handshakeBytes: 2000 });
  const client = await stranger(t, server);
  for (let i = 0; i < 200; i++) client.send({ type: 'ping' });
  assert.equal((await client.closed).code, 1009);
  assert.ok(client.log.some(({ code }) => code === 'TOO_LARGE'));
});

test(
  'what follows the handshake at once waits, however much it is, and takes effect',
  FAIL,
  async (t) => {
    let letIn = () => {};
    const asked = new Promise<void>((resolve) => {
      letIn = resolve;
    });
    let isAsked = () => {};
    const asking = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    const onAuthenticate: CodeHooks = {
      async onAuthenticate({ siteId }) {
        isAsked();
        await asked;
        return { siteId: siteId ?? new Uint8Array(16) };
      },
    };
    const server = await start(t, { handshakeBytes: 2000 }, onAuthenticate);
    const device = new Device(1);
    const connected = once(server.app.websocketServer, 'connection');
    const client = await stranger(t, server);
    const [accepted] = await connected;
    client.send({ type: 'handshake', siteId: device.siteId });
    await asking;
    const big = device.write({ pk: [1], set: { text: 'x'.repeat(1_000_000) } });
    const applied = client.apply(big);
    while (accepted.isPaused !== true) {
      t.signal.throwIfAborted();
      await aMoment();
    }
    letIn();
    await client.next('handshake_ack');
    assert.equal((await applied).applied, 1);
  },
);

test('too many silent sockets: one of them makes room', FAIL, async (t) => {
  const server = await start(t, { unauthenticatedSockets: 2, sharePerUser: 100 });
  const known = await TestClient.join(server.wsUrl, new Device(1), t);
  const silent = [await stranger(t, server), await stranger(t, server)];
  assert.equal(await unauthenticated(server), 2);
  const next = await TestClient.join(server.wsUrl, new Device(2), t);
  const left = await Promise.race(silent.map((client) => client.closed.then(() => client)));
  assert.deepEqual(
    left.log.map(({ code, fatal }) => [code, fatal]),
    [['OVERLOADED', false]],
  );
  assert.equal((await left.closed).code, 1013);
  const rest = silent.filter((client) => client !== left);
  for (const client of [known, next, ...rest]) await client.settled();
  await untilUnauthenticated(server, 1);
  for (const client of rest) client.socket.terminate();
  await untilUnauthenticated(server, 0);
});

test('while all are being authenticated, a new socket is told to come back', FAIL, async (t) => {
  let letIn = () => {};
  const asked = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  let isAsked = () => {};
  const asking = new Promise<void>((resolve) => {
    isAsked = resolve;
  });
  const server = await start(
    t,
    { unauthenticatedSockets: 1 },
    {
      async onAuthenticate({ siteId }) {
        isAsked();
        await asked;
        return { siteId: siteId ?? new Uint8Array(16) };
      },
    },
  );
  const client = await stranger(t, server);
  client.send({ type: 'handshake', siteId: new Device(1).siteId });
  await asking;
  const socket = await connectRaw(t, server);
  socket.write(
    'GET /sync/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1.1 503 .*retry-after: 1\r\n.*"code":"OVERLOADED"/is);
  letIn();
  await client.next('handshake_ack');
  await TestClient.join(server.wsUrl, new Device(2), t);
});

for (const [what, bytes] of [
  ['says nothing', ''],
  ['does not finish its headers', 'GET /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Slow: '],
  ['does not finish asking for a WebSocket', 'GET /sync/ws HTTP/1.1\r\nUpgrade: websocket\r\nX:'],
] as const) {
  test(`a connection that ${what} is cut`, FAIL, async (t) => {
    const server = await start(t, { handshakeTimeoutMs: 200 });
    const socket = await connectRaw(t, server);
    socket.write(bytes);
    socket.resume();
    // A byte now and then does not help it.
    const drip = setInterval(() => bytes !== '' && socket.write('a'), 50);
    t.after(() => clearInterval(drip));
    await once(socket, 'close');
  });
}

test(
  'a body that does not arrive within limits.requestTimeoutMs has its connection cut',
  FAIL,
  async (t) => {
    const server = await start(t, { requestTimeoutMs: 300 });
    const socket = await connectRaw(t, server);
    const site = new Device(1).siteId;
    socket.write(
      `POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\nContent-Length: 100000\r\n\r\n[`,
    );
    socket.resume();
    const drip = setInterval(() => socket.write(' '), 50);
    t.after(() => clearInterval(drip));
    await once(socket, 'close');
  },
);
