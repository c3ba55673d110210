/** Who has the databases of a schema: coordinators that serve them, or a copy that reads them. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createLogger } from '../../../src/logging/logger.ts';
import { parsePostgresUrl } from '../../../src/storage/postgres/address.ts';
import { createPostgresStorage } from '../../../src/storage/postgres/postgres.ts';
import { servingLockKey } from '../../../src/storage/postgres/serving-lock.ts';
import { startCoordinator } from '../../../src/testing/coordinator.ts';
import { Device } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { runProcess } from '../../cli/run-process.ts';
import { openPostgres, startPostgres } from '../../support/postgres.ts';
import { temporaryDirectory } from '../../support/server.ts';

const postgres = await startPostgres(['-c', 'fsync=off']);
after(() => postgres.stop());

const openAlone = (url: string) =>
  createPostgresStorage({
    address: parsePostgresUrl(url),
    logger: createLogger('test'),
    existing: true,
    alone: true,
  });

/** A coordinator with a database in which there is something. */
async function startServing(t: TestContext, storage: string) {
  const server = await startCoordinator(t, { config: { storage } });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const write = (x: number) => client.apply(device.write({ pk: [x], set: { x } }));
  assert.equal((await write(1)).type, 'apply_result');
  return { server, client, write };
}

/** Connections that hold the lock of a schema. */
const holdersOf = (url: string) =>
  postgres.rows(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND ` +
      `(classid::bigint << 32) | objid::bigint = ${servingLockKey(parsePostgresUrl(url).schema)}`,
  );

test('a copy does not begin while a coordinator runs: it says so, and makes nothing', async (t) => {
  const url = postgres.url();
  const { server, write } = await startServing(t, url);
  const cwd = temporaryDirectory();
  const args = ['copy', '--from', url, '--to', `leveldb:${path.join(cwd, 'target')}`];
  const refused = await runProcess(t, args, { cwd });
  assert.match(
    refused.stderr,
    /in use by sync-coordinator from 127\.0\.0\.1 .*Stop all coordinators that share it/,
  );
  assert.equal(refused.stdout, '');
  assert.equal(refused.code, 2);
  // Nor does it hold up those who serve.
  assert.equal((await write(2)).type, 'apply_result');
  await server.stop();
  const { code, stdout } = await runProcess(t, args, { cwd });
  assert.match(stdout, /^database default: .*copied and compared\n$/);
  assert.equal(code, 0);
});

test('a copy may go to a storage that coordinators serve', async (t) => {
  const [from, to] = [postgres.url(), postgres.url()];
  const { server } = await startServing(t, from);
  await server.stop();
  const other = await startCoordinator(t, { config: { storage: to } });
  const cwd = temporaryDirectory();
  const { code, stdout } = await runProcess(t, ['copy', '--from', from, '--to', to], { cwd });
  assert.equal(code, 0, stdout);
  const client = await TestClient.join(other.wsUrl, new Device(2), t);
  assert.equal((await client.changesSince()).length, 1);
});

test('verify and export read one moment beside a coordinator', async (t) => {
  const url = postgres.url();
  const { write } = await startServing(t, url);
  const cwd = temporaryDirectory();
  const verified = await runProcess(t, ['verify', '--storage', url], { cwd });
  assert.match(verified.stdout, /^database default: 1 rows, .*, ok\n$/);
  assert.equal(verified.code, 0);
  const exported = await runProcess(t, ['export', 'default', '--from', url], { cwd });
  assert.match(exported.stdout, /^database default: 1 rows, .*exported/);
  assert.equal(exported.code, 0);
  assert.equal((await write(2)).type, 'apply_result');
});

test('while a copy reads, no coordinator starts', async (t) => {
  const url = postgres.url();
  const { server } = await startServing(t, url);
  await server.stop();
  const storage = await openAlone(url);
  await assert.rejects(startCoordinator(t, { config: { storage: url } }), {
    code: 'STORE_LOCKED',
    message: /is being copied/,
  });
  await assert.rejects(openAlone(url), { code: 'STORE_LOCKED' });
  await storage.close();
  const again = await startCoordinator(t, { config: { storage: url } });
  await TestClient.join(again.wsUrl, new Device(2), t);
});

test('nor does one write that had lost the connection which keeps a copy from beginning', async (t) => {
  const url = postgres.url();
  const { write } = await startServing(t, url);
  const key = servingLockKey(parsePostgresUrl(url).schema);
  const [listening] = await holdersOf(url);
  const copying = postgres.server.getPgClient('postgres', '127.0.0.1');
  await copying.connect();
  // It waits for the lock, and is the next to have it.
  const locked = copying.query(`SELECT pg_advisory_lock(${key})`);
  await postgres.query(`SELECT pg_terminate_backend(${listening?.pid})`);
  await locked;
  const refused = await write(2);
  assert.equal(refused.code, 'STORE_UNAVAILABLE');
  assert.ok(Number(refused.retryAfterMs) > 0);
  await copying.query(`SELECT pg_advisory_unlock(${key})`);
  await copying.end();
  assert.equal((await write(2)).type, 'apply_result');
});

test('a coordinator that has lost that connection keeps copies out again when it has another', async (t) => {
  const url = postgres.url();
  await startServing(t, url);
  const [before] = await holdersOf(url);
  await postgres.query(`SELECT pg_terminate_backend(${before?.pid})`);
  let holders: Record<string, unknown>[] = [];
  while (holders.length === 0 || holders[0]?.pid === before?.pid) holders = await holdersOf(url);
  await assert.rejects(openAlone(url), { code: 'STORE_LOCKED' });
});

test('a copy that has lost its lock reads no further', async (t) => {
  const url = postgres.url();
  const { server } = await startServing(t, url);
  await server.stop();
  const storage = await openAlone(url);
  t.after(() => storage.close());
  const view = await (await storage.open('default')).view();
  await view.getMany([Buffer.from('mhead')]);
  const [holder] = await holdersOf(url);
  await postgres.query(`SELECT pg_terminate_backend(${holder?.pid})`);
  const read = async () => {
    for (;;) await view.getMany([Buffer.from('mhead')]);
  };
  await assert.rejects(read(), { code: 'STORE_LOCKED', message: /was lost/ });
  await view.close();
});

test('a storage that only serves one schema is not in the way of another', async () => {
  const [one, other] = [postgres.url(), postgres.url()];
  const serving = await openPostgres(one);
  await (await openPostgres(other)).close();
  await (await openAlone(other)).close();
  await serving.close();
});
