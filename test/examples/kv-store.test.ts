/** The example of a storage keeps what every storage must, and a coordinator runs on it. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DatabaseSync } from '@photostructure/sqlite';
import createSqliteStorage from '../../examples/kv-store/sqlite.ts';
import type { StorageModuleOptions } from '../../src/storage/by-address/open-storage.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { Device } from '../../src/testing/device.ts';
import { kvStoreContract } from '../../src/testing/index.ts';
import { pageOf, rawRequest } from '../conformance/raw-http.ts';
import { ROOT, readPage } from '../docs/pages.ts';
import { tamperFormat } from '../storage/tamper-format.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

kvStoreContract({
  name: 'the SQLite of the examples',
  persistent: true,
  tamperFormat,
  async open() {
    const dataDir = mkdtempSync(join(tmpdir(), 'sync-sqlite-'));
    const options = { dataDir, cwd: dataDir };
    let storage = createSqliteStorage({ ...options, durability: 'fsync' });
    return {
      storage,
      async reopen() {
        await storage.close();
        storage = createSqliteStorage({ ...options, durability: 'os' });
        return storage;
      },
      async dispose() {
        await storage.close();
        rmSync(dataDir, { recursive: true });
      },
    };
  },
});

const options = (): StorageModuleOptions => {
  const dataDir = temporaryDirectory();
  return { dataDir, cwd: dataDir, durability: 'fsync' };
};

test('a coordinator whose config names it has what it was sent after a restart', async (t) => {
  const config = {
    storage: join(ROOT, 'examples/kv-store/sqlite.ts'),
    dataDir: temporaryDirectory(),
  };
  const first = await startServer(t, { config });
  const headers = { 'content-type': 'application/json', 'x-site-id': new Device(2).siteId };
  const body = JSON.stringify([new Device(2).write({ pk: [1], set: { x: 'kept' } })]);
  const sent = { method: 'POST', path: '/sync/changes', headers, body };
  assert.equal((await rawRequest(first.httpUrl, sent)).status, 200);
  await first.stop();
  const second = await startServer(t, { config });
  const asked = { path: '/sync/changes', headers: { 'x-site-id': new Device(3).siteId } };
  const { changes } = pageOf(await rawRequest(second.httpUrl, asked));
  assert.deepEqual(changes.flatMap((changeSet) => changeSet.changes).map(toValue), ['kept']);
});

test('a write that fails is refused, and so are those after it until the store is opened again', async (t) => {
  const given = options();
  const storage = createSqliteStorage(given);
  t.after(() => storage.close());
  const store = await storage.open('a');
  const put = (to: KVStore, key: string) =>
    to.exclusive(async (transaction) => transaction.put(Buffer.from(key), Buffer.from('1')));
  const other = new DatabaseSync(join(given.dataDir, 'sqlite', 'db-a.sqlite'));
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(put(store, 'a'), { code: 'STORE_UNAVAILABLE' });
  other.exec('ROLLBACK');
  other.close();
  await assert.rejects(put(store, 'b'), { code: 'STORE_UNAVAILABLE' });
  assert.deepEqual(await store.getMany([Buffer.from('a')]), [undefined]);
  await store.close();
  const again = await storage.open('a');
  await put(again, 'c');
  const values = await again.getMany(['a', 'b', 'c'].map((key) => Buffer.from(key)));
  assert.deepEqual(
    values.map((value) => value?.length),
    [undefined, undefined, 1],
  );
});

test('its directory is for one storage at a time, and it lists its databases', async (t) => {
  const given = options();
  const storage = createSqliteStorage(given);
  t.after(() => storage.close());
  for (const id of ['a', 'A:b', '.']) await storage.open(id);
  assert.deepEqual((await storage.list?.())?.sort(), ['.', 'A:b', 'a']);
  assert.throws(() => createSqliteStorage(given), { code: 'STORE_LOCKED' });
  await storage.close();
  await createSqliteStorage(given).close();
});

test('where nothing is to be made it makes nothing', async (t) => {
  const given = options();
  const openExisting = () => createSqliteStorage({ ...given, existing: true });
  assert.throws(openExisting, { code: 'STORE_UNAVAILABLE' });
  assert.deepEqual(readdirSync(given.dataDir), []);
  const storage = createSqliteStorage(given);
  await storage.open('a');
  await storage.close();
  const existing = openExisting();
  t.after(() => existing.close());
  await assert.rejects(existing.open('b'), { code: 'STORE_UNAVAILABLE' });
  assert.deepEqual(await existing.list?.(), ['a']);
  await existing.open('a');
});

test('where nothing is to be made it looks for damage', async (t) => {
  const given = options();
  const storage = createSqliteStorage(given);
  const store = await storage.open('a');
  await store.exclusive(async (transaction) => {
    for (let key = 0; key < 1000; key++) transaction.put(Buffer.from(`k${key}`), Buffer.alloc(99));
  });
  await storage.close();
  const file = join(given.dataDir, 'sqlite', 'db-a.sqlite');
  const connection = new DatabaseSync(file);
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  connection.close();
  const content = readFileSync(file);
  writeFileSync(file, content.fill('x', content.length - 4096));
  const existing = createSqliteStorage({ ...given, existing: true });
  t.after(() => existing.close());
  await assert.rejects(existing.open('a'), { code: 'STORE_DAMAGED' });
});

test('it is one file of about 150 lines', () => {
  const { text } = readPage('examples/kv-store/sqlite.ts');
  assert.ok(text.trimEnd().split('\n').length <= 160);
});

function toValue(change: { type: string; value?: unknown }): unknown {
  return change.value;
}
