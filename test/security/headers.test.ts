/** What browsers are told about every answer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import helmet from '@fastify/helmet';
import coordinator from '../../plugins/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { rawRequest } from '../conformance/raw-http.ts';
import { bareApp } from '../plugins/bare-app.ts';
import { testConfig } from '../plugins/service-app.ts';
import { startServer } from '../support/server.ts';

const EXPECTED = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'cross-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

test('every answer has them: results, streams and refusals', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const headers = { 'x-site-id': new Device(1).siteId };
  for (const [path, status] of [
    ['/sync/status', 200],
    ['/sync/metrics', 200],
    ['/sync/changes', 200],
    ['/sync/snapshot', 200],
    ['/sync/no/such/route', 404],
    ['/sync/..%2f/changes', 400],
  ] as const) {
    const answer = await rawRequest(httpUrl, { path, headers });
    assert.equal(answer.status, status, path);
    for (const [name, value] of Object.entries(EXPECTED)) {
      assert.equal(answer.headers[name], value, `${path}: ${name}`);
    }
  }
});

test('in an app that has helmet the app’s own hold, and without it only the coordinator has them', async (t) => {
  const withHelmet = bareApp(t);
  await withHelmet.register(helmet, { frameguard: { action: 'sameorigin' } });
  await withHelmet.register(coordinator, { prefix: '/sync', config: testConfig() });
  const theirs = await withHelmet.inject('/sync/status');
  assert.equal(theirs.headers['x-frame-options'], 'SAMEORIGIN');
  const bare = bareApp(t);
  await bare.register(coordinator, { prefix: '/sync', config: testConfig() });
  bare.get('/', async () => 'ours');
  assert.equal((await bare.inject('/')).headers['x-frame-options'], undefined);
  assert.equal((await bare.inject('/sync/status')).headers['x-frame-options'], 'DENY');
});
