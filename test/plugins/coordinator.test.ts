import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import coordinator, { type CoordinatorParts } from '../../plugins/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { bareApp, listen } from './bare-app.ts';
import { testConfig } from './service-app.ts';

class TeapotError extends Error {}

/** Somebody's app, with ways of its own, and the coordinator in the middle of them. */
async function hostApp(t: TestContext) {
  const app = bareApp(t);
  const requests: string[] = [];
  app.decorate('ours', 'untouched');
  app.addHook('onResponse', async ({ method, url }) => {
    requests.push(`${method} ${url}`);
  });
  app.addContentTypeParser('text/shout', { parseAs: 'string' }, async (_: unknown, body: unknown) =>
    String(body).toUpperCase(),
  );
  app.setErrorHandler((error, _request, reply) =>
    error instanceof TeapotError
      ? reply.code(418).send({ teapot: true })
      : reply.code(500).send({ ours: String(error) }),
  );
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ lost: true }));
  app.post('/before', async ({ body }) => ({ body }));
  await app.register(coordinator, { prefix: '/sync', config: testConfig() });
  app.post('/after', async ({ body }) => ({ body }));
  app.get('/teapot', () => {
    throw new TeapotError();
  });
  app.get('/status', async () => ({ status: 'ours' }));
  return { app, requests };
}

test('the app’s own routes have their bodies parsed as ever', async (t) => {
  const { app } = await hostApp(t);
  const payload = { hello: ['world'] };
  for (const url of ['/before', '/after']) {
    const json = await app.inject({ method: 'POST', url, payload });
    assert.deepEqual(json.json(), { body: payload }, url);
    const headers = { 'content-type': 'text/shout' };
    const shout = await app.inject({ method: 'POST', url, headers, payload: 'hey' });
    assert.deepEqual(shout.json(), { body: 'HEY' }, url);
    const unknown = { 'content-type': 'application/unknown' };
    const refused = await app.inject({ method: 'POST', url, headers: unknown, payload: 'x' });
    assert.match(refused.json().ours, /Unsupported Media Type/, 'only the coordinator takes all');
  }
});

test('the app’s error and 404 handlers are its own, and the coordinator’s are its', async (t) => {
  const { app } = await hostApp(t);
  const teapot = await app.inject('/teapot');
  assert.deepEqual([teapot.statusCode, teapot.json()], [418, { teapot: true }]);
  assert.deepEqual((await app.inject('/nowhere')).json(), { lost: true });
  assert.deepEqual((await app.inject('/changes')).json(), { lost: true });
  assert.equal((await app.inject('/sync/no/such/route')).json().error.code, 'NOT_FOUND');
  assert.equal((await app.inject('/sync/changes')).json().error.code, 'NOT_AUTHENTICATED');
});

test('CORS, decorators and plugins of the coordinator stay within it', async (t) => {
  const { app } = await hostApp(t);
  const headers = { origin: 'https://a.example' };
  const own = await app.inject({ url: '/status', headers });
  assert.equal(own.headers['access-control-allow-origin'], undefined);
  const its = await app.inject({ url: '/sync/status', headers });
  assert.equal(its.headers['access-control-allow-origin'], 'https://a.example');
  assert.deepEqual(own.json(), { status: 'ours' });
  for (const name of ['coordinator', 'coordinatorConfig', 'coordinatorHooks', 'websocketServer']) {
    assert.ok(!app.hasDecorator(name), name);
  }
  assert.ok(app.hasDecorator('ours'));
  assert.ok(!app.hasPlugin('sync-coordinator-service'));
});

test('the app’s hooks see the coordinator’s requests too, as of any plugin', async (t) => {
  const { app, requests } = await hostApp(t);
  await app.inject('/sync/status');
  await app.inject('/status');
  assert.deepEqual(requests, ['GET /sync/status', 'GET /status']);
});

test('devices sync under the prefix, over both transports', async (t) => {
  const { app } = await hostApp(t);
  const host = await listen(app);
  const [a, b] = [new Device(1), new Device(2)];
  const anna = await TestClient.join(`ws://${host}/sync/ws`, a, t);
  const ben = await TestClient.join(`ws://${host}/sync/ws`, b, t);
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  assert.equal((await ben.nextPush()).length, 1);
  const posted = await fetch(`http://${host}/sync/apply`, {
    method: 'POST',
    headers: { 'x-site-id': b.siteId, 'content-type': 'application/json' },
    body: JSON.stringify([b.write({ pk: [2], set: { x: 2 } })]),
  });
  assert.equal(posted.status, 200);
  assert.equal((await anna.nextPush()).length, 1);
});

test('closing the app ends the sockets, the sessions and the stores', async (t) => {
  const app = bareApp(t);
  let parts: CoordinatorParts | undefined;
  const gone: string[] = [];
  await app.register(coordinator, {
    prefix: '/sync',
    config: testConfig(),
    hooks: {
      onClientDisconnect: ({ databaseId }) => {
        gone.push(String(databaseId));
      },
    },
    onReady: (ready) => {
      parts = ready;
    },
  });
  const client = await TestClient.join(`ws://${await listen(app)}/sync/ws`, new Device(1), t);
  assert.ok(parts !== undefined, 'it has told what it set up');
  const { service, storage, hooks } = parts;
  assert.equal(service.sessions.size, 1);
  assert.match(storage, /memory/);
  assert.deepEqual(
    hooks.modules.map(({ name }) => name),
    ['code'],
  );
  await app.close();
  assert.equal((await client.closed).code, 1001);
  const { connections, connectedClients, openStores } = service.status();
  assert.deepEqual([connections, connectedClients, openStores], [0, 0, 0]);
  assert.deepEqual(gone, ['default']);
});

test('where it cannot be set up, the app is told why, and can be closed', async (t) => {
  const app: FastifyInstance = bareApp(t);
  await assert.rejects(
    async () =>
      app.register(coordinator, { prefix: '/sync', config: testConfig({ storage: 'floppy:a' }) }),
    { name: 'ConfigError' },
  );
  await app.close();
});
