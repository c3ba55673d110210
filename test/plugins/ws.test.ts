import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import websocket from '../../plugins/websocket.ts';
import ws from '../../plugins/ws.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { isForgotten } from '../support/forgotten.ts';
import { aMoment } from '../support/moment.ts';
import { assertNeeds, listen } from './bare-app.ts';
import { appWithService } from './service-app.ts';

async function wsApp(t: TestContext): Promise<{ app: FastifyInstance; url: string }> {
  const app = await appWithService(t);
  await app.register(websocket, { limits: app.coordinatorConfig.limits });
  await app.register(ws);
  return { app, url: `ws://${await listen(app)}/ws` };
}

test('it needs the configuration, the service and WebSockets', async (t) => {
  await assertNeeds(t, ws, 'sync-coordinator-ws', [
    'sync-coordinator-config',
    'sync-coordinator-service',
    'sync-coordinator-websocket',
  ]);
});

test('a socket speaks the protocol, and counts as long as it is open', async (t) => {
  const { app, url } = await wsApp(t);
  assert.ok(app.hasPlugin('sync-coordinator-ws'));
  const silent = await TestClient.open(url);
  t.after(() => silent.socket.terminate());
  await silent.settled();
  const client = await TestClient.join(url, new Device(1), t);
  const { connections, connectedClients } = app.coordinator.status();
  assert.deepEqual([connections, connectedClients], [2, 1], 'one has not shaken hands');
  const [session] = app.coordinator.sessions;
  assert.equal(session?.siteId, new Device(1).siteId);
  await client.close();
  await silent.close();
  while (app.coordinator.connections > 0) await aMoment();
  assert.equal(app.coordinator.status().connectedClients, 0);
  assert.equal(app.coordinator.queuedBytes(), 0);
});

test('the route answers nothing but WebSocket', async (t) => {
  const { app } = await wsApp(t);
  const response = await app.inject('/ws');
  assert.equal(response.statusCode, 404);
  assert.equal(response.json().error.code, 'NOT_FOUND');
});

test('closing the app closes the sockets with 1001, and listens no more', async (t) => {
  const { app, url } = await wsApp(t);
  const client = await TestClient.join(url, new Device(1), t);
  await app.close();
  assert.equal((await client.closed).code, 1001);
  assert.equal(app.server.listening, false);
  assert.equal(app.coordinator.connections, 0);
});

test('a session keeps nothing of the request that it came by', async (t) => {
  const refs: Record<string, WeakRef<object>> = {};
  const app = await appWithService(t);
  app.addHook('onRequest', async (request, reply) => {
    refs.request = new WeakRef(request);
    refs.reply = new WeakRef(reply);
    refs['raw request'] = new WeakRef(request.raw);
    refs['raw reply'] = new WeakRef(reply.raw);
  });
  await app.register(websocket, { limits: app.coordinatorConfig.limits });
  await app.register(ws);
  await TestClient.join(`ws://${await listen(app)}/ws`, new Device(1), t);
  assert.equal(Object.keys(refs).length, 4);
  for (const [what, ref] of Object.entries(refs)) assert.ok(await isForgotten(ref), what);
  assert.equal(app.coordinator.status().connectedClients, 1);
});
