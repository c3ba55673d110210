import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';
import { rawRequest } from './raw-http.ts';
import { overHttp } from './transport.ts';

const UNREADABLE = fileURLToPath(new URL('./unreadable-storage.ts', import.meta.url));
const MIB = 1024 * 1024;

test('a snapshot that fails on its way ends with the error, and nothing of the inside', async (t) => {
  const server = await startServer(t, { config: { storage: UNREADABLE } });
  const a = new Device(1);
  await (await overHttp(server, a, t)).apply(
    a.migrate('create_table', 't'),
    a.write({ pk: [1], set: { x: 1 } }),
  );
  const headers = { 'x-site-id': a.siteId };
  const response = await rawRequest(server.httpUrl, { path: '/sync/snapshot', headers });
  assert.equal(response.status, 200, 'it had begun');
  const lines = response.text.trimEnd().split('\n');
  const chunks = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    chunks.slice(0, 2).map(({ type }) => type),
    ['header', 'schema-migration'],
  );
  const { error, ...rest } = chunks.at(-1);
  assert.deepEqual(rest, {});
  assert.deepEqual(Object.keys(error), ['code', 'message']);
  assert.equal(error.code, 'SNAPSHOT_ERROR');
  assert.doesNotMatch(response.text, /secret/);

  const client = await TestClient.join(server.wsUrl, a, t);
  client.send({ type: 'get_snapshot', requestId: 's' });
  const told = await client.next('error');
  assert.deepEqual([told.code, told.fatal, told.requestId], ['SNAPSHOT_ERROR', false, 's']);
  assert.doesNotMatch(String(told.message), /secret/);
  assert.equal((await client.apply(a.write({ pk: [2], set: { x: 1 } }))).applied, 1);
});

test('more snapshots than the server sends at once are refused, and told to come again', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:', limits: { snapshotStreams: 1 } },
  });
  const a = new Device(1);
  const transport = await overHttp(server, a, t);
  for (let i = 0; i < 16; i++) {
    await transport.apply(a.write({ pk: [i], set: { x: 'x'.repeat(MIB) } }));
  }
  const headers = { 'x-site-id': a.siteId };
  const slow = get(`${server.httpUrl}/snapshot`, { headers, agent: false });
  // A reader that has begun and takes no more.
  const [begun] = (await once(slow, 'response')) as [IncomingMessage];
  assert.equal(begun.statusCode, 200);
  const ask = () => rawRequest(server.httpUrl, { path: '/sync/snapshot', headers });
  const refused = await ask();
  assert.deepEqual([refused.status, refused.json?.error?.code], [503, 'OVERLOADED']);
  assert.match(refused.headers['retry-after'] ?? '', /^[1-9][0-9]*$/);

  const client = await TestClient.join(server.wsUrl, a, t);
  await assert.rejects(client.snapshot(), /OVERLOADED/);
  const refusal = await client.apply(a.write({ pk: [99], set: { x: 1 } }));
  assert.equal(refusal.type, 'apply_result', 'the session goes on');

  slow.destroy();
  let again = await ask();
  while (again.status === 503) again = await ask();
  assert.equal(again.status, 200, 'the place is given back');
});
