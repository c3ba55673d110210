/** A database on PostgreSQL is replaced while coordinators serve it. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { startCoordinator, type TestCoordinator } from '../../../src/testing/coordinator.ts';
import { Device, siteBytes } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { digestOf } from '../../../src/transfer/content.ts';
import { checkExport, contentOfExport } from '../../../src/transfer/export/import-content.ts';
import { planImport } from '../../../src/transfer/export/plan-import.ts';
import { exportLines } from '../../../src/transfer/export/write-export.ts';
import { fillStore } from '../../../src/transfer/fill-store.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { openEngine } from '../../support/engine.ts';
import { openPostgres, startPostgres } from '../../support/postgres.ts';
import { createTestWorld } from '../../support/world.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

const newTally = () => ({ done: 0, total: 0 });

async function exported(store: KVStore): Promise<Buffer> {
  const context = { databaseId: 'team', exportedAt: new Date(0), tally: newTally() };
  const chunks: Buffer[] = [];
  for await (const chunk of exportLines(store, context)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function importTo(store: KVStore, file: Buffer, replace: boolean): Promise<void> {
  const open = async function* () {
    yield file;
  };
  const checked = await checkExport(open);
  const plan = await planImport(store, checked, createTestWorld(Date.now()), { replace });
  await fillStore(await contentOfExport(open, checked, plan.replacedAt), store, newTally(), plan);
}

const makeFile = async (value: string, rows: number): Promise<{ file: Buffer; store: KVStore }> => {
  const { manager, store } = await openEngine();
  const writes = Array.from({ length: rows }, (_, pk) => ({ pk: [pk], set: { a: value } }));
  await manager.apply([new Device(1).write(...writes)]);
  return { file: await exported(store), store };
};

test('from there and back a database is the same', async () => {
  const { file, store } = await makeFile('imported', 5000);
  const storage = await openPostgres(postgres.url());
  const there = await storage.open('team');
  await importTo(there, file, false);
  for await (const finding of verifyDatabase(there)) assert.fail(JSON.stringify(finding));
  assert.deepEqual(await digestOf(there, newTally()), await digestOf(store, newTally()));
  const view = await there.view();
  assert.ok((await exported(there)).equals(file));
  await view.close();
  await storage.close();
});

// So that a session which is never closed fails, and does not wait for ever.
const WITHIN = { timeout: 60_000 };

test(
  'a coordinator that runs meanwhile closes its sessions, and serves what was imported',
  WITHIN,
  async (t) => {
    const url = postgres.url();
    const server = await startCoordinator(t, { config: { storage: url } });
    const connect = ({ wsUrl }: TestCoordinator) =>
      TestClient.join(wsUrl, { siteId: siteIdToText(siteBytes(2)), databaseId: 'team' }, t);
    const client = await connect(server);
    const [handshake] = client.log;
    await client.apply(new Device(2).write({ pk: ['old'], set: { a: 'old' } }));
    await client.changesSince();

    const storage = await openPostgres(url);
    const store = await storage.open('team');
    const { file } = await makeFile('imported', 3);
    await importTo(store, file, true);
    assert.equal((await client.closed).code, 1013);

    const again = await connect(server);
    const [ack] = again.log;
    assert.notEqual(ack?.serverSiteId, handshake?.serverSiteId);
    const changes = (await again.changesSince()).flatMap((changeSet) => changeSet.changes);
    assert.deepEqual(
      changes.map((change) => 'value' in change && change.value),
      ['imported', 'imported', 'imported'],
    );
    const result = await again.apply(
      new Device(2, Date.now()).write({ pk: ['new'], set: { a: 1 } }),
    );
    assert.equal(result.applied, 1);
    for await (const finding of verifyDatabase(store)) assert.fail(JSON.stringify(finding));
    await storage.close();
  },
);
