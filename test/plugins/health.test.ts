import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import health from '../../plugins/health.ts';
import reports from '../../plugins/reports.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { SOME_FIGURES, TELLING_STORAGE, told } from '../support/telling-storage.ts';
import { assertNeeds } from './bare-app.ts';
import { appWithService } from './service-app.ts';

async function healthApp(
  t: TestContext,
  overrides: CoordinatorConfigInput = {},
  hooks: CoordinatorHooks = {},
): Promise<FastifyInstance> {
  const app = await appWithService(t, overrides, hooks);
  await app.register(health);
  await app.register(reports);
  return app;
}

/** Of a storage that says it is unwell, for as long as the test runs. */
function makeUnwell(t: TestContext, error: Error): void {
  const it = told();
  const { check } = it;
  it.check = () => Promise.reject(error);
  t.after(() => Object.assign(it, { check }));
}

test('it needs the service and the errors', async (t) => {
  await assertNeeds(t, health, 'sync-coordinator-health', [
    'sync-coordinator-service',
    'sync-coordinator-errors',
  ]);
});

test('a server on a storage that tells nothing lives and is ready, and no hook is asked', async (t) => {
  const refuse = () => Promise.reject(new Error('asked'));
  const app = await healthApp(
    t,
    { auth: { mode: 'custom' } },
    { onAuthenticate: refuse, onAuthorize: refuse },
  );
  for (const [url, data] of [
    ['/livez', { live: true }],
    ['/readyz', { ready: true }],
  ] as const) {
    const answer = await app.inject(url);
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(answer.json(), { ok: true, data });
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal((await app.inject({ method: 'HEAD', url })).statusCode, 200);
  }
  assert.equal((await app.inject('/status')).json().data.store, undefined);
  assert.doesNotMatch((await app.inject('/metrics')).body, /sync_store/);
});

test('with a storage that is unwell it lives, is not ready, and says why', async (t) => {
  const app = await healthApp(t, { storage: TELLING_STORAGE });
  assert.equal((await app.inject('/readyz')).statusCode, 200);
  const cause = new Error('of 10.0.0.7, password sesame');
  const options = { cause, retryAfterMs: 2500 };
  makeUnwell(t, new SyncError('STORE_UNAVAILABLE', 'the tape is torn', options));
  const other = await healthApp(t, { storage: TELLING_STORAGE });
  const unready = await other.inject('/readyz');
  assert.equal(unready.statusCode, 503);
  assert.equal(unready.headers['retry-after'], '3');
  assert.deepEqual(unready.json(), {
    ok: false,
    error: { code: 'STORE_UNAVAILABLE', message: 'the tape is torn' },
  });
  assert.equal((await other.inject('/livez')).statusCode, 200);
  const status = await other.inject('/status');
  assert.equal(status.statusCode, 200);
  assert.deepEqual(
    [status.json().data.store.up, status.json().data.store.reason],
    [false, 'the tape is torn'],
  );
  const metrics = (await other.inject('/metrics')).body;
  assert.match(metrics, /^sync_store_up 0$/m);
  assert.doesNotMatch(metrics, /^sync_errors_total\{/m, 'no client has met an error');
  for (const { body } of [unready, status]) assert.doesNotMatch(body, /sesame|10\.0/);
});

test('of an error that is nobody’s message only that much is told', async (t) => {
  const app = await healthApp(t, { storage: TELLING_STORAGE });
  makeUnwell(t, new Error('connect to 10.0.0.7, password sesame'));
  const { body, statusCode } = await app.inject('/readyz');
  assert.equal(statusCode, 503);
  assert.equal(JSON.parse(body).error.message, 'the store cannot be used');
});

test('what the storage counts is in the status and in the metrics', async (t) => {
  const app = await healthApp(t, { storage: TELLING_STORAGE });
  const { store } = (await app.inject('/notes/status')).json().data;
  const { up, since, ...figures } = store;
  assert.equal(up, true);
  assert.equal(typeof since, 'number');
  assert.deepEqual(figures, SOME_FIGURES);
  for (let scrape = 0; scrape < 2; scrape++) {
    const { body } = await app.inject('/metrics');
    for (const line of [
      'sync_store_up 1',
      'sync_store_connections{pool="write",state="idle"} 1',
      'sync_store_connections{pool="write",state="used"} 2',
      'sync_store_connections_max{pool="write"} 5',
      'sync_store_connections_waiting{pool="write"} 2',
      'sync_store_notifications_connected 1',
      'sync_store_notification_lag_seconds 0.25',
      'sync_store_notification_reconnects_total 4',
      'sync_store_notifications_missed_total 6',
      'sync_store_transaction_retries_total 7',
      'sync_store_commits_resolved_total 8',
    ]) {
      assert.ok(body.includes(`\n${line}\n`), line);
    }
  }
});

test('while it stops it lives, and is not ready', async (t) => {
  const app = await healthApp(t);
  await app.coordinator.settle(1000);
  assert.equal((await app.inject('/livez')).statusCode, 200);
  const unready = await app.inject('/readyz');
  assert.equal(unready.statusCode, 503);
  assert.equal(unready.json().error.code, 'SHUTTING_DOWN');
  assert.equal((await app.inject('/nowhere')).statusCode, 503);
});
