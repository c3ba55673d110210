/** How coordinators on PostgreSQL tell that it is well, and that it is not. */

import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { StoreStatus } from '../../../src/service/databases/store-watch.ts';
import { startCoordinator, type TestCoordinator } from '../../../src/testing/coordinator.ts';
import { openPostgres, POSTGRES_PASSWORD, startPostgres } from '../../support/postgres.ts';
import { startPostgresProxy } from '../../support/postgres-proxy.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

const startNode = (t: TestContext, storage: string): Promise<TestCoordinator> =>
  startCoordinator(t, { config: { storage } });

interface Answer {
  status: number;
  text: string;
  retryAfter: string | null;
}

async function ask({ httpUrl }: TestCoordinator, path: string): Promise<Answer> {
  const response = await fetch(`${httpUrl}${path}`);
  const text = await response.text();
  return { status: response.status, text, retryAfter: response.headers.get('retry-after') };
}

/** Asks over and over, until the answer has this status. */
async function askUntil(node: TestCoordinator, path: string, status: number): Promise<Answer> {
  for (;;) {
    const answer = await ask(node, path);
    if (answer.status === status) return answer;
    await wait(20);
  }
}

async function storeOf(node: TestCoordinator): Promise<StoreStatus> {
  const { data } = JSON.parse((await ask(node, '/status')).text);
  return data.store;
}

/** Nothing that leads to PostgreSQL. */
function assertNothingSecret(...answers: readonly Answer[]): void {
  for (const { text } of answers) {
    for (const secret of [POSTGRES_PASSWORD, '127.0.0.1', String(postgres.port)]) {
      assert.ok(!text.includes(secret), text);
    }
  }
}

/** What a pause or an outage makes of a node, and that it ends by itself. */
async function assertOutage(
  node: TestCoordinator,
  reason: RegExp,
  begin: () => Promise<void> | void,
  end: () => Promise<void> | void,
): Promise<void> {
  assert.equal((await askUntil(node, '/readyz', 200)).status, 200);
  await begin();
  const unready = await askUntil(node, '/readyz', 503);
  assert.match(unready.text, /"code":"STORE_UNAVAILABLE"/);
  assert.match(unready.text, reason);
  assert.ok(Number(unready.retryAfter) >= 1);
  const [alive, status, metrics] = [
    await ask(node, '/livez'),
    await ask(node, '/status'),
    await ask(node, '/metrics'),
  ];
  assert.equal(alive.status, 200, 'a restart would not help');
  assert.equal(status.status, 200);
  const { up, reason: told } = JSON.parse(status.text).data.store;
  assert.equal(up, false);
  assert.match(told, reason);
  assert.match(metrics.text, /^sync_store_up 0$/m);
  assertNothingSecret(unready, alive, status, metrics);
  await end();
  await askUntil(node, '/readyz', 200);
  assert.equal((await storeOf(node)).up, true);
}

test('PostgreSQL is stopped and started: the node lives, is not ready, and is again', async (t) => {
  const node = await startNode(t, postgres.url());
  await assertOutage(
    node,
    /nothing listens there|shutting down/,
    () => postgres.server.stop(),
    () => postgres.server.start(),
  );
});

test('nothing comes back from PostgreSQL: the same, and its questions do not pile up', async (t) => {
  const proxy = await startPostgresProxy(t, postgres);
  const node = await startNode(t, proxy.through(postgres.url()));
  await askUntil(node, '/readyz', 200);
  await assertOutage(
    node,
    /does not answer/,
    () => proxy.pause(),
    async () => {
      const before = proxy.accepted;
      const answers = await Promise.all(Array.from({ length: 50 }, () => ask(node, '/readyz')));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([503]));
      // One of the probe's own, and one of the connection that listens.
      assert.ok(proxy.accepted - before <= 2, `${proxy.accepted - before} connections`);
      proxy.resume();
    },
  );
});

test('while all connections are in use it is busy, not down', async (t) => {
  const storage = await openPostgres(postgres.url());
  t.after(() => storage.close());
  const { health } = storage;
  assert.ok(health !== undefined);
  const store = await storage.open('busy');
  const views = await Promise.all(Array.from({ length: 10 }, () => store.view()));
  const waiting = store.view();
  await health.check();
  const pool = health.figures().pools?.find(({ name }) => name === 'snapshot');
  assert.deepEqual(pool, { name: 'snapshot', max: 10, open: 10, idle: 0, waiting: 1 });
  await Promise.all(views.map((view) => view.close()));
  await (await waiting).close();
});

test('a server that takes no writes any more is down', async (t) => {
  const storage = await openPostgres(postgres.url({ application_name: 'demoted' }));
  t.after(() => storage.close());
  const { health } = storage;
  assert.ok(health !== undefined);
  await health.check();
  await postgres.query('ALTER SYSTEM SET default_transaction_read_only = on');
  t.after(async () => {
    await postgres.query('ALTER SYSTEM RESET default_transaction_read_only');
    await postgres.query('SELECT pg_reload_conf()');
  });
  await postgres.query('SELECT pg_reload_conf()');
  for (;;) {
    const error: unknown = await health.check().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error === undefined) continue;
    assert.match(String(error), /read-only/);
    break;
  }
});

test('how long word of a commit takes is measured, and a connection made anew is counted', async (t) => {
  const node = await startNode(t, postgres.url({ application_name: 'counted' }));
  const device = await node.device();
  await device.write('notes', ['one'], { n: 1 });
  for (;;) {
    const { notifications } = await storeOf(node);
    assert.ok(notifications !== undefined);
    if (notifications.lagMs === undefined) continue;
    assert.ok(notifications.lagMs >= 0);
    assert.deepEqual(
      { ...notifications, lagMs: 0 },
      { connected: true, lagMs: 0, reconnects: 0, missed: 0 },
    );
    break;
  }
  assert.match((await ask(node, '/metrics')).text, /^sync_store_notification_lag_seconds \d/m);
  await postgres.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'counted'",
  );
  while ((await storeOf(node)).notifications?.reconnects !== 1) await wait(20);
  assert.match((await ask(node, '/metrics')).text, /^sync_store_notification_reconnects_total 1$/m);
});

test('once it is closed it is not well any more', async () => {
  const storage = await openPostgres(postgres.url());
  assert.ok(storage.health !== undefined);
  await storage.health.check();
  await storage.close();
  await assert.rejects(storage.health.check(), { code: 'STORE_UNAVAILABLE' });
});
