import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import routes from '../../plugins/routes.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { Device } from '../../src/testing/device.ts';
import { aMoment } from '../support/moment.ts';
import { assertNeeds } from './bare-app.ts';
import { appWithService } from './service-app.ts';

async function routesApp(
  t: TestContext,
  overrides: CoordinatorConfigInput = {},
): Promise<FastifyInstance> {
  const app = await appWithService(t, overrides);
  await app.register(routes);
  return app;
}

test('it needs the configuration, the hooks, the service and the errors', async (t) => {
  await assertNeeds(t, routes, 'sync-coordinator-routes', [
    'sync-coordinator-config',
    'sync-coordinator-auth',
    'sync-coordinator-service',
    'sync-coordinator-errors',
  ]);
});

test('each operation has its route, with a database and without; none of them answers HEAD', async (t) => {
  const app = await routesApp(t);
  for (const prefix of ['', '/:databaseId']) {
    for (const [method, url] of [
      ['GET', '/changes'],
      ['POST', '/changes'],
      ['POST', '/apply'],
      ['GET', '/snapshot'],
      ['POST', '/snapshot'],
    ] as const) {
      assert.ok(app.hasRoute({ method, url: `${prefix}${url}` }), `${method} ${prefix}${url}`);
      assert.ok(!app.hasRoute({ method: 'HEAD', url: `${prefix}${url}` }));
    }
  }
  assert.ok(app.hasPlugin('sync-coordinator-routes'));
});

test('a batch goes in, and comes out as changes and in a snapshot', async (t) => {
  const app = await routesApp(t);
  const [a, b] = [new Device(1), new Device(2)];
  const applied = await app.inject({
    method: 'POST',
    url: '/notes/apply',
    headers: { 'x-site-id': a.siteId },
    payload: JSON.stringify([a.write({ pk: [1], set: { x: 'hello' } })]),
  });
  assert.equal(applied.statusCode, 200);
  assert.deepEqual(applied.json().data, { applied: 1, skipped: 0, conflicts: 0, transactions: 1 });
  const headers = { 'x-site-id': b.siteId };
  const { data } = (await app.inject({ url: '/notes/changes', headers })).json();
  assert.equal(data.changes[0].changes[0].value, 'hello');
  const elsewhere = await app.inject({ url: '/changes', headers });
  assert.deepEqual(elsewhere.json().data.changes, [], 'only in the database that was named');
  const snapshot = await app.inject({ url: '/notes/snapshot', headers });
  assert.match(snapshot.body, /"value":"hello"/);
});

test('what is asked for is counted by its kind, also where it is refused', async (t) => {
  const app = await routesApp(t);
  const headers = { 'x-site-id': new Device(1).siteId };
  await app.inject({ url: '/changes', headers });
  await app.inject({ url: '/changes' });
  await app.inject({ method: 'POST', url: '/apply', headers });
  await app.inject({ url: '/a%20b/snapshot', headers });
  const { registry } = app.coordinatorMetrics;
  const text = await registry.getSingleMetricAsString('sync_requests_total');
  assert.deepEqual(text.split('\n').slice(2), [
    'sync_requests_total{transport="http",operation="get_changes"} 2',
    'sync_requests_total{transport="http",operation="apply_changes"} 1',
    'sync_requests_total{transport="http",operation="get_snapshot"} 1',
  ]);
});

test('a body larger than limits.messageBytes is refused, whatever the app’s own limit', async (t) => {
  const app = await routesApp(t, { limits: { messageBytes: 100 } });
  const post = (payload: string) =>
    app.inject({
      method: 'POST',
      url: '/apply',
      headers: { 'x-site-id': new Device(1).siteId },
      payload,
    });
  assert.equal((await post('[]'.padEnd(100))).statusCode, 200);
  const refused = await post('[]'.padEnd(101));
  assert.equal(refused.json().error.code, 'TOO_LARGE');
});

test('a database that was used for a request is held no longer than that', async (t) => {
  const app = await routesApp(t, { storage: { url: 'memory:', maxOpenDatabases: 1 } });
  const headers = { 'x-site-id': new Device(1).siteId };
  const statusOf = async (url: string) => (await app.inject({ url, headers })).statusCode;
  assert.equal(await statusOf('/a/changes'), 200);
  assert.equal(await statusOf('/b/changes'), 200, 'the place of the first is free again');
  const open = await app.coordinator.acquire('b');
  assert.equal(await statusOf('/c/snapshot'), 503);
  assert.equal(await statusOf('/b/snapshot'), 200);
  open.release();
  // The stream of the snapshot closes after its last byte was sent.
  while ((await streams(app)) > 0) {
    await aMoment();
  }
  assert.equal(await statusOf('/c/snapshot'), 200);
});

async function streams(app: FastifyInstance): Promise<number> {
  const [, count] =
    /^sync_snapshot_streams (\d+)$/m.exec((await app.inject('/metrics')).body) ?? [];
  return Number(count);
}
