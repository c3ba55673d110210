/** Every way in which a client reads a database, of one that holds nothing. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { TestServer } from './server.ts';

/** @returns the body of an answer that must be 200 */
export async function get(server: TestServer, path: string, init?: RequestInit): Promise<string> {
  const headers = { 'x-site-id': new Device(1).siteId, 'content-type': 'application/json' };
  const response = await fetch(`${server.httpUrl}/${path}`, { headers, ...init });
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return body;
}

/** By delta, from nothing and from the end; by snapshot; with an empty batch; over both transports. */
export async function readEveryWay(
  t: TestContext,
  server: TestServer,
  databaseId: string,
): Promise<void> {
  const { data } = JSON.parse(await get(server, `${databaseId}/changes`));
  assert.deepEqual([data.changes, data.hasMore], [[], false]);
  const since = encodeURIComponent(data.watermark);
  assert.deepEqual(
    JSON.parse(await get(server, `${databaseId}/changes?sinceHLC=${since}`)).data.changes,
    [],
  );
  const lines = (await get(server, `${databaseId}/snapshot`)).trimEnd().split('\n');
  const types = lines.map((line) => JSON.parse(line).type);
  assert.deepEqual(types, ['header', 'footer']);
  const nothing = JSON.stringify([]);
  await get(server, `${databaseId}/changes`, { method: 'POST', body: nothing });
  const client = await TestClient.join(
    server.wsUrl,
    { siteId: new Device(2).siteId, databaseId },
    t,
  );
  assert.deepEqual(
    (await client.changesSince()).flatMap(({ changes }) => changes),
    [],
  );
  client.send({ type: 'get_snapshot' });
  await client.next('snapshot_complete');
  client.socket.close();
  await client.closed;
}
