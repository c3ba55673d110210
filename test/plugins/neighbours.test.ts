/** The coordinator beside plugins of the app, and beside another coordinator. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import cors from '@fastify/cors';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import coordinator from '../../plugins/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { temporaryDirectory } from '../support/server.ts';
import { bareApp, listen } from './bare-app.ts';
import { testConfig } from './service-app.ts';

async function registerTwo(app: FastifyInstance): Promise<void> {
  for (const prefix of ['/one', '/two']) {
    const storage = `leveldb:${temporaryDirectory()}`;
    await app.register(coordinator, { prefix, config: testConfig({ storage }) });
  }
}

test('in an app with WebSockets of its own, each route has its own', async (t) => {
  const app = bareApp(t);
  await app.register(websocket, { preClose: (done) => done() });
  app.get('/echo', { websocket: true }, (socket) => {
    socket.on('message', (data) => socket.send(String(data)));
  });
  await app.register(coordinator, { prefix: '/sync', config: testConfig() });
  const host = await listen(app);
  const echo = await TestClient.open(`ws://${host}/echo`);
  t.after(() => echo.socket.terminate());
  echo.send({ type: 'hello' });
  await echo.next('hello');
  const client = await TestClient.join(`ws://${host}/sync/ws`, new Device(1), t);
  await client.settled();
  assert.equal(app.websocketServer.clients.size, 2, 'one server has them all');
  echo.socket.terminate();
  await app.close();
  assert.equal((await client.closed).code, 1001);
});

test('in an app with CORS of its own, the coordinator can still be registered', async (t) => {
  const app = bareApp(t);
  await app.register(cors, { origin: 'https://own.example' });
  app.get('/', async () => 'ours');
  await app.register(coordinator, { prefix: '/sync', config: testConfig() });
  assert.equal((await app.inject('/sync/status')).statusCode, 200);
  const own = await app.inject({ url: '/', headers: { origin: 'https://own.example' } });
  assert.equal(own.headers['access-control-allow-origin'], 'https://own.example');
});

test('two coordinators in one app share nothing', async (t) => {
  const app = bareApp(t);
  await registerTwo(app);
  const [a, b] = [new Device(1), new Device(2)];
  const posted = await app.inject({
    method: 'POST',
    url: '/one/apply',
    headers: { 'x-site-id': a.siteId },
    payload: JSON.stringify([a.write({ pk: [1], set: { x: 1 } })]),
  });
  assert.equal(posted.statusCode, 200);
  const changesUnder = async (prefix: string) => {
    const headers = { 'x-site-id': b.siteId };
    const { data } = (await app.inject({ url: `${prefix}/changes`, headers })).json();
    return data.changes.length;
  };
  assert.equal(await changesUnder('/one'), 1);
  assert.equal(await changesUnder('/two'), 0);
  const metrics = await app.inject('/two/metrics');
  assert.match(metrics.body, /^sync_changes_applied_total 0$/m);
});

for (const [who, isAppsOwn] of [
  ['which the app has registered', true],
  ['each its own', false],
] as const) {
  test(`two coordinators in one app have WebSockets, ${who}`, async (t) => {
    const app = bareApp(t);
    if (isAppsOwn) await app.register(websocket, { preClose: (done) => done() });
    await registerTwo(app);
    const host = await listen(app);
    const [a, b, c] = [new Device(1), new Device(2), new Device(3)];
    const anna = await TestClient.join(`ws://${host}/one/ws`, a, t);
    const ben = await TestClient.join(`ws://${host}/one/ws`, b, t);
    const other = await TestClient.join(`ws://${host}/two/ws`, c, t);
    await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
    assert.equal((await ben.nextPush()).length, 1);
    assert.deepEqual(await other.changesSince(), []);
    await app.close();
    const codes = await Promise.all(
      [anna, ben, other].map(async ({ closed }) => (await closed).code),
    );
    assert.deepEqual(codes, [1001, 1001, 1001]);
  });
}
