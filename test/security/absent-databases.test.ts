/** Who asks for a database that is not there makes none: neither a file nor a place in the list. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { CoordinatorReader } from '../../src/hooks/reader.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { get, readEveryWay } from '../support/read-every-way.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

const FAIL = { timeout: 60_000 };

const databasesIn = (dataDir: string): string[] =>
  readdirSync(dataDir).filter((name) => name.startsWith('db-'));

test('300 reads of databases that are not there leave no file', FAIL, async (t) => {
  const dataDir = temporaryDirectory();
  let reader: CoordinatorReader | undefined;
  const watching = defineHooks({
    name: 'watching',
    setup(_options, { read }) {
      reader = read;
      return { onAuthenticate: async ({ siteId }) => ({ siteId: siteId ?? new Uint8Array(16) }) };
    },
  });
  const server = await startServer(t, { config: { dataDir, hooks: [watching] } });
  for (let i = 0; i < 10; i++) {
    const asked = Array.from({ length: 30 }, (_, j) => get(server, `read-${i}-${j}/changes`));
    await Promise.all(asked);
  }
  for (let i = 0; i < 5; i++) await readEveryWay(t, server, `all-${i}`);
  assert.ok(reader !== undefined);
  assert.equal(await reader.row('hook', { table: 't', pk: [1] }), undefined);
  for await (const _row of reader.rows('hook', { table: 't' })) assert.fail('it holds no rows');
  await server.service.maintain('maintained');
  await server.service.resync(() => true);
  assert.deepEqual(databasesIn(dataDir), []);
  await server.stop();
  assert.deepEqual(databasesIn(dataDir), [], 'nor when they are closed');
});

test('its first write makes it, and whoever waits there gets it pushed', FAIL, async (t) => {
  const dataDir = temporaryDirectory();
  const server = await startServer(t, { config: { dataDir } });
  const [a, b] = [new Device(1), new Device(2)];
  const listener = await TestClient.open(server.wsUrl);
  t.after(() => listener.socket.terminate());
  listener.send({ type: 'handshake', siteId: b.siteId, databaseId: 'new' });
  const { serverSiteId } = await listener.next('handshake_ack');
  assert.deepEqual(databasesIn(dataDir), []);
  const writer = await TestClient.join(server.wsUrl, { siteId: a.siteId, databaseId: 'new' }, t);
  assert.equal((await writer.apply(a.write({ pk: [1], set: { x: 1 } }))).type, 'apply_result');
  assert.deepEqual(databasesIn(dataDir), ['db-new']);
  const [pushed] = await listener.nextPush();
  assert.equal(pushed?.siteId, a.siteId);
  const again = await TestClient.open(server.wsUrl);
  t.after(() => again.socket.terminate());
  again.send({ type: 'handshake', siteId: new Device(3).siteId, databaseId: 'new' });
  assert.equal((await again.next('handshake_ack')).serverSiteId, serverSiteId);
  await server.stop();
  const restarted = await startServer(t, { config: { dataDir } });
  const { data } = JSON.parse(await get(restarted, 'new/changes'));
  assert.deepEqual(
    data.changes.flatMap(({ changes }: { changes: unknown[] }) => changes),
    [],
    'device 1 wrote it itself',
  );
  const reader = await TestClient.open(restarted.wsUrl);
  t.after(() => reader.socket.terminate());
  reader.send({ type: 'handshake', siteId: new Device(3).siteId, databaseId: 'new' });
  assert.equal((await reader.next('handshake_ack')).serverSiteId, serverSiteId);
  assert.equal((await reader.changesSince())[0]?.siteId, a.siteId);
});
