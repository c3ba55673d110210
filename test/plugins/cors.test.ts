import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import config from '../../plugins/config.ts';
import cors from '../../plugins/cors.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { assertNeeds, bareApp } from './bare-app.ts';
import { testConfig } from './service-app.ts';

async function corsApp(t: TestContext, options: CoordinatorConfigInput['cors']) {
  const app = bareApp(t);
  await app.register(config, { config: testConfig({ cors: options }) });
  await app.register(cors);
  app.get('/', async () => 'hello');
  return (origin: string, method: 'GET' | 'OPTIONS' = 'GET') =>
    app.inject({
      method,
      url: '/',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
}

test('it needs the configuration', async (t) => {
  await assertNeeds(t, cors, 'sync-coordinator-cors', ['sync-coordinator-config']);
});

test('by default any origin may call, with credentials, and read when to try again', async (t) => {
  const call = await corsApp(t, {});
  const { headers } = await call('https://app.example');
  assert.equal(headers['access-control-allow-origin'], 'https://app.example');
  assert.equal(headers['access-control-allow-credentials'], 'true');
  assert.equal(headers['access-control-expose-headers'], 'Retry-After');
});

test('a browser that asks first is told what it may do', async (t) => {
  const call = await corsApp(t, {});
  const { statusCode, headers } = await call('https://app.example', 'OPTIONS');
  assert.equal(statusCode, 204);
  assert.equal(headers['access-control-allow-methods'], 'GET, POST');
});

test('of a list of origins only those are let in', async (t) => {
  const call = await corsApp(t, { origin: ['https://a.example', 'https://b.example'] });
  const allowed = async (origin: string) =>
    (await call(origin)).headers['access-control-allow-origin'];
  assert.equal(await allowed('https://b.example'), 'https://b.example');
  assert.equal(await allowed('https://b.example.evil'), undefined);
});

test('with no origin allowed, and without credentials, nothing is said', async (t) => {
  const closed = await corsApp(t, { origin: false });
  assert.equal(
    (await closed('https://a.example')).headers['access-control-allow-origin'],
    undefined,
  );
  const bare = await corsApp(t, { credentials: false });
  const { headers } = await bare('https://a.example');
  assert.equal(headers['access-control-allow-credentials'], undefined);
});
