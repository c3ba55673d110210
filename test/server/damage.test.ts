import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { FORMAT_KEY } from '../../src/storage/format.ts';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

const SITE = { 'X-Site-Id': new Device(9).siteId };

async function makeDatabases(dataDir: string, ids: readonly string[]): Promise<void> {
  const storage = await createLevelStorage({ directory: dataDir, durability: 'os' });
  for (const id of ids) {
    const store = await storage.open(id);
    if (id !== 'newer') continue;
    await store.exclusive(async (transaction) => {
      transaction.put(FORMAT_KEY, Buffer.from(JSON.stringify({ format: 99, databaseId: id })));
    });
  }
  await storage.close();
}

test('each damaged database is refused with its code, and the others are served', async (t) => {
  const dataDir = temporaryDirectory();
  await makeDatabases(dataDir, ['newer', 'gone', 'blocked', 'whole']);
  rmSync(path.join(dataDir, 'db-gone', 'CURRENT'));
  // Also for root, who may write everywhere.
  rmSync(path.join(dataDir, 'db-blocked'), { recursive: true });
  writeFileSync(path.join(dataDir, 'db-blocked'), 'not a directory');
  const server = await startChildServer(t, { dataDir });
  const ask = async (id: string) => {
    const response = await fetch(`${server.httpUrl}/${id}/changes`, { headers: SITE });
    const { error } = JSON.parse(await response.text());
    return { status: response.status, code: error?.code, message: error?.message };
  };
  const expected = { newer: 'STORE_FORMAT', gone: 'STORE_DAMAGED', blocked: 'STORE_UNAVAILABLE' };
  for (const [id, code] of Object.entries(expected)) {
    const answer = await ask(id);
    assert.deepEqual([answer.status, answer.code], [503, code], id);
    assert.ok(!answer.message.includes(dataDir), answer.message);
    assert.equal((await ask('whole')).status, 200);
  }
  assert.match(server.output(), /db-gone: CURRENT is missing\. Restore a backup/);
  // What was in the way is gone: no restart is needed.
  rmSync(path.join(dataDir, 'db-blocked'));
  mkdirSync(path.join(dataDir, 'db-blocked'));
  assert.equal((await ask('blocked')).status, 200);
});
