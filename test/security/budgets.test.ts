/** What one user or address takes leaves the others theirs. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { aMoment } from '../support/moment.ts';
import { startServer, type TestServer, temporaryDirectory } from '../support/server.ts';

const FAIL = { timeout: 60_000 };
const UPGRADE =
  'GET /sync/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

/** The token is the user. */
const byToken: CodeHooks = {
  onAuthenticate: async ({ token, siteId }) => ({
    siteId: siteId ?? new Uint8Array(16),
    userId: token,
  }),
};

const start = (t: TestContext, config: CoordinatorConfigInput) =>
  startServer(t, { config: { storage: 'memory:', ...config }, hooks: byToken });

async function shakeHands(t: TestContext, server: TestServer, user: string, site: number) {
  const client = await TestClient.open(server.wsUrl);
  t.after(() => client.socket.terminate());
  const { siteId } = new Device(site);
  client.send({ type: 'handshake', siteId, token: user, databaseId: `db-${site}` });
  return { client, answer: await client.nextWhere(() => true) };
}

async function readiness({ httpUrl }: TestServer): Promise<number> {
  return (await fetch(`${httpUrl}/readyz`)).status;
}

for (const [what, config] of [
  ['sessions', { limits: { sessions: 4 } }],
  ['open databases', { storage: { url: 'memory:', maxOpenDatabases: 4 } }],
] as const) {
  test(`one user with many site ids does not take all ${what}`, FAIL, async (t) => {
    const server = await start(t, config);
    const first = await shakeHands(t, server, 'eve', 1);
    for (const site of [2, 3]) {
      assert.equal((await shakeHands(t, server, 'eve', site)).answer.type, 'handshake_ack');
    }
    const { client, answer } = await shakeHands(t, server, 'eve', 4);
    assert.deepEqual([answer.code, answer.fatal], ['OVERLOADED', false]);
    assert.match(String(answer.message), /limits\.sharePerUser \(75 %\) of 4/);
    assert.equal((await client.closed).code, 1013);
    assert.equal(await readiness(server), 200);
    assert.equal((await shakeHands(t, server, 'ben', 5)).answer.type, 'handshake_ack');
    first.client.socket.terminate();
    while (server.service.sessions.size > 3) await aMoment();
    assert.equal((await shakeHands(t, server, 'eve', 4)).answer.type, 'handshake_ack');
  });
}

for (const [what, config] of [
  ['sessions', { limits: { sessions: 8 } }],
  ['open databases', { storage: { url: 'memory:', maxOpenDatabases: 8 } }],
] as const) {
  test(
    `users who have all ${what} between them give way to others, each down to its part`,
    FAIL,
    async (t) => {
      const server = await start(t, config);
      const held: { user: string; client: TestClient }[] = [];
      const join = async (user: string) => {
        const { client, answer } = await shakeHands(t, server, user, held.length + 1);
        if (answer.type === 'handshake_ack') held.push({ user, client });
        return answer;
      };
      for (let i = 0; i < 6; i++) await join('eve');
      for (let i = 0; i < 2; i++) await join('mallory');
      assert.equal(await readiness(server), 200);
      for (let i = 0; i < 2; i++) assert.equal((await join('ann')).type, 'handshake_ack');
      assert.equal((await join('ben')).type, 'handshake_ack');
      for (const { client } of held.slice(0, 3)) assert.equal((await client.closed).code, 1013);
      const left = ['eve', 'mallory', 'ann', 'ben'].map(
        (user) => held.slice(3).filter((one) => one.user === user).length,
      );
      assert.deepEqual(left, [3, 2, 2, 1]);
      for (const { client } of held.slice(3)) {
        client.send({ type: 'ping' });
        await client.next('pong');
      }
      assert.equal((await join('eve')).code, 'OVERLOADED', 'nobody takes it back');
      assert.equal(server.service.sessions.size, 8);
    },
  );
}

test(
  'a server that has no room for one more database is not ready, and says why',
  FAIL,
  async (t) => {
    const server = await start(t, { storage: { url: 'memory:', maxOpenDatabases: 2 } });
    await shakeHands(t, server, 'ben', 1);
    assert.equal(await readiness(server), 200);
    const { client } = await shakeHands(t, server, 'ann', 2);
    const response = await fetch(`${server.httpUrl}/readyz`);
    assert.equal(response.status, 503);
    assert.match(await response.text(), /OVERLOADED.*storage\.maxOpenDatabases/);
    client.socket.terminate();
    while ((await readiness(server)) !== 200) await aMoment();
  },
);

async function connectFrom(t: TestContext, { httpUrl }: TestServer, localAddress: string) {
  const { hostname, port } = new URL(httpUrl);
  const socket = connect({ host: hostname, port: Number(port), localAddress });
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket): Promise<string> {
  socket.write('GET /sync/livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [data] = await once(socket, 'data');
  return String(data).split('\r\n')[0] ?? '';
}

test('connections of strangers that ask for nothing give way', FAIL, async (t) => {
  const server = await start(t, { limits: { connections: 8 } });
  const eves: Socket[] = [];
  for (let i = 0; i < 6; i++) {
    const socket = await connectFrom(t, server, '127.0.0.2');
    assert.match(await ask(socket), /200/);
    eves.push(socket);
  }
  const session = await TestClient.join(server.wsUrl, new Device(1), t);
  const bens = [];
  for (let i = 0; i < 3; i++) {
    const socket = await connectFrom(t, server, '127.0.0.1');
    assert.match(await ask(socket), /200/, `${i}`);
    bens.push(socket);
  }
  await session.settled();
  const cut = eves.filter(({ destroyed, readyState }) => destroyed || readyState !== 'open').length;
  assert.ok(cut >= 1, 'of the address that has most');
  for (const socket of bens) assert.match(await ask(socket), /200/);
});

test('one address does not take all connections', FAIL, async (t) => {
  const server = await start(t, { limits: { connections: 8 } });
  const eves = [];
  for (let i = 0; i < 8; i++) {
    const socket = await connectFrom(t, server, '127.0.0.2');
    // Neither idle nor answered.
    socket.write(
      'POST /sync/changes HTTP/1.1\r\nHost: x\r\n' +
        `X-Site-Id: ${new Device(1).siteId}\r\nContent-Length: 9\r\n\r\n[`,
    );
    eves.push(socket);
  }
  for (const socket of eves) socket.resume();
  while (eves.filter(({ closed }) => closed).length < 2) {
    t.signal.throwIfAborted();
    await aMoment();
  }
  assert.match(await ask(await connectFrom(t, server, '127.0.0.1')), /200/);
});

test(
  'with few files, silent strangers leave room for databases and for who comes next',
  FAIL,
  async (t) => {
    const server = await startChildServer(t, {
      dataDir: temporaryDirectory(),
      before: 'ulimit -n 256;',
    });
    assert.match(server.output(), /may open 256 files \(ulimit -n\): 79 connections at once/);
    for (let i = 0; i < 300; i++) {
      const socket = connect(server.port, '127.0.0.1');
      t.after(() => socket.destroy());
      socket.on('error', () => undefined).resume();
      if (i % 2 === 0) socket.write(UPGRADE);
      await once(socket, 'connect');
    }
    const device = new Device(1);
    const { siteId } = device;
    for (let i = 0; i < 40; i++) {
      const client = await TestClient.join(server.wsUrl, { siteId, databaseId: `db-${i}` }, t);
      assert.equal((await client.apply(device.write({ pk: [i], set: { i } }))).applied, 1);
      client.socket.close();
    }
  },
);

test(
  'with few files a server says how many databases fit, and serves any number of them',
  FAIL,
  async (t) => {
    const server = await startChildServer(t, {
      dataDir: temporaryDirectory(),
      before: 'ulimit -n 200;',
    });
    assert.match(
      server.output(),
      /may open 200 files \(ulimit -n\): 20 databases at once instead of storage\.maxOpenDatabases \(1000\)/,
    );
    const device = new Device(1);
    const headers = { 'x-site-id': device.siteId, 'content-type': 'application/json' };
    for (let i = 0; i < 120; i++) {
      const body = JSON.stringify([device.write({ pk: [i], set: { i } })]);
      const url = `${server.httpUrl}/db-${i}/changes`;
      const response = await fetch(url, { method: 'POST', headers, body });
      assert.equal(response.status, 200, await response.text());
    }
  },
);
