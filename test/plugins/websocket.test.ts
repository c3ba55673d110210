import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import fastifyWebsocket from '@fastify/websocket';
import Fastify, { type FastifyInstance } from 'fastify';
import coordinator from '../../plugins/coordinator.ts';
import websocket from '../../plugins/websocket.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { bareApp, listen } from './bare-app.ts';
import { testConfig } from './service-app.ts';

const { limits } = testConfig({ limits: { messageBytes: 100 } });

test('routes may speak WebSocket, within limits.messageBytes and uncompressed', async (t) => {
  const app = bareApp(t);
  await app.register(websocket, { limits });
  app.get('/echo', { websocket: true }, (socket) => {
    socket.on('message', (data) => socket.send(String(data)));
    socket.on('error', () => undefined);
  });
  const client = await TestClient.open(`ws://${await listen(app)}/echo`, {
    perMessageDeflate: true,
  });
  assert.equal(client.socket.extensions, '');
  client.send({ type: 'small' });
  await client.next('small');
  client.send({ type: 'big'.padEnd(100) });
  assert.equal((await client.closed).code, 1009);
  assert.ok(app.hasPlugin('sync-coordinator-websocket'));
});

test('a @fastify/websocket that is there already is the one that is used', async (t) => {
  const app = bareApp(t);
  await app.register(fastifyWebsocket, { preClose: (done) => done() });
  const { websocketServer } = app;
  await app.register(async (scope) => {
    await scope.register(websocket, { limits });
    assert.equal(scope.websocketServer, websocketServer);
    scope.get('/ws', { websocket: true }, () => undefined);
  });
  const connected = once(websocketServer, 'connection');
  const client = await TestClient.open(`ws://${await listen(app)}/ws`);
  await connected;
  client.socket.terminate();
});

// A socket that was refused must go, or nothing that waits for it ends.

const DEADLINE = { timeout: 4000 };

/** An app with coordinators, whose sockets are known, so that the test can end whatever becomes of them. */
async function appWithSockets(t: TestContext, prefixes: string[], hooks: CoordinatorHooks = {}) {
  const app = Fastify();
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket) => sockets.add(socket));
  app.get('/own', async () => 'hello');
  for (const prefix of prefixes) {
    await app.register(coordinator, { prefix, config: testConfig(), hooks });
  }
  const url = `ws://${await listen(app)}`;
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await app.close();
  });
  return { app, url };
}

/** Asks for WebSocket where there is none; gives the server's end of the socket. */
async function refusedSocket(app: FastifyInstance, url: string, answer: RegExp): Promise<Socket> {
  const connected = once(app.server, 'connection');
  await assert.rejects(TestClient.open(url), answer);
  const [socket] = await connected;
  return socket;
}

for (const prefixes of [['/sync'], [''], ['/sync', '/other']]) {
  const where = prefixes.map((prefix) => prefix || '/').join(' and ');
  test(`refused upgrades are closed, with coordinators at ${where}`, DEADLINE, async (t) => {
    const { app, url } = await appWithSockets(t, prefixes);
    for (const [path, answer] of [
      ['/sync/nowhere', /404/],
      ['/nowhere', /404/],
      ['/own', /200/],
    ] as const) {
      const socket = await refusedSocket(app, `${url}${path}`, answer);
      if (!socket.destroyed) await once(socket, 'close');
    }
    await app.close();
  });
}

test(
  'whoever comes while it stops is refused, and does not hold up the end',
  DEADLINE,
  async (t) => {
    const gate = deferred();
    const entered = deferred();
    const { app, url } = await appWithSockets(t, ['/sync'], {
      async onBeforeApplyChanges(_client, changes) {
        entered.resolve();
        await gate.promise;
        return { approved: changes, rejected: [] };
      },
    });
    const device = new Device(1);
    const client = await TestClient.join(`${url}/sync/ws`, device, t);
    const answer = client.apply(device.write({ pk: [1], set: { a: 1 } }));
    await entered.promise;
    const closed = app.close();
    await refusedSocket(app, `${url}/sync/ws`, /503/);
    gate.resolve();
    assert.equal((await answer).applied, 1);
    await closed;
    assert.equal((await client.closed).code, 1001);
  },
);
