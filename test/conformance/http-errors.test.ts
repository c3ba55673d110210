import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { isErrorCode } from '../../src/protocol/error-codes.ts';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';
import { pageOf, type RawResponse, rawRequest } from './raw-http.ts';

const SITE = new Device(1).siteId;
const HOUR_MS = 3_600_000;

interface Sent {
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
}

async function start(
  t: TestContext,
  config: CoordinatorConfigInput = {},
  hooks: CoordinatorHooks = {},
) {
  const server = await startServer(t, { config: { storage: 'memory:', ...config }, hooks });
  const ask = (path: string, sent: Sent = {}) =>
    rawRequest(server.httpUrl, {
      path: `/sync${path}`,
      ...sent,
      headers: { 'x-site-id': SITE, 'content-type': 'application/json', ...sent.headers },
    });
  return { server, ask };
}

/** @param more what this error says beside its code and message */
function assertRefused(
  { status, json, headers }: RawResponse,
  expected: number,
  code: string,
  more: readonly string[] = [],
) {
  assert.deepEqual([status, json?.error?.code], [expected, code]);
  assert.deepEqual(Object.keys(json ?? {}).sort(), ['error', 'ok']);
  assert.equal(json?.ok, false);
  assert.deepEqual(Object.keys(json?.error ?? {}).sort(), ['code', 'message', ...more]);
  assert.ok(isErrorCode(code));
  assert.match(headers['content-type'] ?? '', /^application\/json/);
}

test('malformed requests are answered 400, with the place of the fault', async (t) => {
  const { ask } = await start(t);
  const faulty: [path: string, sent: Sent, message: RegExp][] = [
    ['/changes', { method: 'POST', body: '{' }, /not valid JSON/],
    ['/changes', { method: 'POST', body: '' }, /JSON/],
    ['/changes', { method: 'POST', body: '{"changes":{}}' }, /array/],
    ['/changes', { method: 'POST', body: '{"changes":[{}]}' }, /^changes\[0\]/],
    ['/apply', { method: 'POST', body: '[null]' }, /^\[0\]/],
    ['/db/apply', { method: 'POST', body: '7' }, /array/],
    ['/snapshot', { method: 'POST', body: '{"checkpoint":{}}' }, /^checkpoint/],
    ['/snapshot', { method: 'POST', body: '[]' }, /./],
    ['/changes?sinceHLC=yesterday', {}, /^sinceHLC/],
    ['/changes', { headers: { 'x-since-hlc': 'yesterday' } }, /^sinceHLC/],
    ['/changes?limit=0', {}, /^limit/],
    ['/changes?limit=-1', {}, /^limit/],
    ['/changes?limit=ten', {}, /^limit/],
    ['/changes?limit=1e3', {}, /^limit/],
  ];
  for (const [path, sent, message] of faulty) {
    const response = await ask(path, sent);
    assertRefused(response, 400, 'MESSAGE_ERROR');
    assert.match(response.json?.error?.message ?? '', message, path);
  }
});

test('every sync operation without a site id is answered 401', async (t) => {
  const { server } = await start(t);
  for (const [method, path, body] of [
    ['GET', '/changes', undefined],
    ['POST', '/changes', '[]'],
    ['POST', '/apply', '[]'],
    ['GET', '/snapshot', undefined],
    ['GET', '/db/changes', undefined],
    ['POST', '/db/apply', '[]'],
    ['GET', '/db/snapshot', undefined],
  ] as const) {
    const response = await rawRequest(server.httpUrl, { method, path: `/sync${path}`, body });
    assertRefused(response, 401, 'NOT_AUTHENTICATED');
  }
  assert.equal(server.service.status().openStores, 0);
});

test('a site id that is none is refused', async (t) => {
  const { ask } = await start(t);
  for (const siteId of ['', 'short', `${SITE}A`, `${SITE.slice(0, 21)}B`]) {
    const { status, json } = await ask('/changes', { headers: { 'x-site-id': siteId } });
    assert.ok(status === 400 || status === 401, siteId);
    assert.equal(json?.ok, false);
  }
});

test('refused credentials are answered 401, a refused operation 403', async (t) => {
  const tokens = ['good'];
  const authorization = 'Bearer good';
  const { ask } = await start(
    t,
    { auth: { mode: 'token-whitelist', tokens } },
    { onAuthorize: async (_client, { type }) => type === 'get_changes' },
  );
  assertRefused(await ask('/changes'), 401, 'AUTH_FAILED');
  const bad = { authorization: 'Bearer bad' };
  assertRefused(await ask('/changes', { headers: bad }), 401, 'AUTH_FAILED');
  const good = { headers: { authorization } };
  assert.equal((await ask('/changes', good)).status, 200);
  const apply = { ...good, method: 'POST', body: '[]' } as const;
  assertRefused(await ask('/changes', apply), 403, 'NOT_AUTHORIZED');
  assertRefused(await ask('/snapshot', good), 403, 'NOT_AUTHORIZED');
});

test('what is not there is answered 404', async (t) => {
  const { ask } = await start(t);
  for (const path of [
    '',
    '/',
    '/nothing',
    '/a/b/changes',
    '/changes/more',
    '/db/statuses',
    '/ws',
  ]) {
    assertRefused(await ask(path), 404, 'NOT_FOUND');
  }
  assertRefused(await ask('/status', { method: 'POST', body: '{}' }), 404, 'NOT_FOUND');
});

test('an id that is none is answered 400', async (t) => {
  const { ask } = await start(t);
  assertRefused(await ask('/a%20b/changes'), 400, 'INVALID_DATABASE_ID');
  assertRefused(await ask(`/${'x'.repeat(129)}/changes`), 400, 'INVALID_DATABASE_ID');
  assertRefused(await ask(`/${'x'.repeat(1000)}/changes`), 400, 'INVALID_DATABASE_ID');
});

test('a batch from the future is answered 409', async (t) => {
  const { ask } = await start(t);
  const ahead = new Device(1, Date.now() + HOUR_MS).write({ pk: [1], set: { x: 1 } });
  const body = JSON.stringify([ahead]);
  assertRefused(await ask('/changes', { method: 'POST', body }), 409, 'CLOCK_DRIFT', [
    'serverTimeMs',
  ]);
});

test('a position behind the horizon is answered 410', async (t) => {
  const { server, ask } = await start(t, { sync: { tombstoneTTL: HOUR_MS } });
  const a = new Device(1);
  const writes = [a.write({ pk: [1], set: { x: 1 } }), a.write({ pk: [1], delete: true })];
  for (const write of writes) {
    await ask('/changes', { method: 'POST', body: JSON.stringify([write]) });
  }
  const reader = { headers: { 'x-site-id': new Device(2).siteId } };
  const page = await ask('/changes?limit=1', reader);
  const { watermark } = pageOf(page);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * HOUR_MS });
  await server.service.maintain('default');
  const since = await ask(`/changes?sinceHLC=${encodeURIComponent(watermark)}`, reader);
  assertRefused(since, 410, 'SNAPSHOT_REQUIRED');
  assert.equal((await ask('/changes', reader)).status, 200);
});

test('what is larger than a limit is answered 413, and nothing of it is stored', async (t) => {
  const { ask } = await start(t, { limits: { messageBytes: 10_000, changesPerBatch: 5 } });
  const a = new Device(1);
  const rows = Array.from({ length: 6 }, (_, i) => ({ pk: [i], set: { x: 1 } }));
  const many = JSON.stringify([a.write(...rows)]);
  assertRefused(await ask('/changes', { method: 'POST', body: many }), 413, 'TOO_LARGE');
  const large = JSON.stringify([a.write({ pk: [1], set: { x: 'x'.repeat(10_000) } })]);
  assertRefused(await ask('/changes', { method: 'POST', body: large }), 413, 'TOO_LARGE');
  const page = await ask('/changes', { headers: { 'x-site-id': new Device(2).siteId } });
  assert.deepEqual(pageOf(page).changes, []);
});

for (const [code, status] of [
  ['RATE_LIMITED', 429],
  ['OVERLOADED', 503],
] as const) {
  test(`${code} is answered ${status} and says when to try again`, async (t) => {
    const refuse = async () => {
      throw new SyncError(code, 'later', { retryAfterMs: 2500 });
    };
    const { ask } = await start(t, {}, { onAuthorize: refuse });
    for (const path of ['/changes', '/snapshot']) {
      const response = await ask(path);
      assertRefused(response, status, code);
      assert.equal(response.headers['retry-after'], '3', 'in whole seconds');
    }
  });
}

test('a failure inside tells nothing of the inside', async (t) => {
  const { ask } = await start(
    t,
    {},
    {
      onBeforeApplyChanges: async () => {
        throw new Error('password=hunter2 at /srv/secret.ts');
      },
    },
  );
  const body = JSON.stringify([new Device(1).write({ pk: [1], set: { x: 1 } })]);
  const response = await ask('/changes', { method: 'POST', body });
  assertRefused(response, 500, 'HOOK_FAILED');
  assert.doesNotMatch(response.text, /hunter2|secret|\.ts/);
});
