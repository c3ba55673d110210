/** An answer that its client takes no further gives way when others wait for the memory. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { AuthContext } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

const MIB = 1024 * 1024;
const FAIL = { timeout: 30_000 };

const hooks = {
  onAuthenticate: ({ siteId = new Uint8Array(16), token }: AuthContext) => ({
    siteId,
    userId: token,
  }),
};

/** A socket that has begun to get its answer, and reads no further. */
async function deaf(t: TestContext, server: TestServer, token: string): Promise<Socket> {
  const socket = await connectRaw(t, server);
  const { siteId } = new Device(9);
  socket.write(
    `GET /sync/long/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${siteId}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  await once(socket, 'readable');
  return socket;
}

test('unread answers of few users leave others the memory for theirs', FAIL, async (t) => {
  const limits = { answerBytes: 64 * MIB, answerBytesPerClient: 32 * MIB };
  const server = await startServer(t, { config: { storage: 'memory:', limits }, hooks });
  const { answers } = server.service.memory;
  const device = new Device(1);
  const site = { siteId: device.siteId, token: 'honest' };
  const writer = await TestClient.join(server.wsUrl, { ...site, databaseId: 'long' }, t);
  const long = 'x'.repeat(3.5 * MIB);
  const { applied } = await writer.apply(device.write({ pk: [1], set: { a: long, b: long } }));
  assert.equal(applied, 2);

  const sockets: Socket[] = [];
  // An answer of 7 MiB takes twice that while it is read.
  for (const token of ['eve', 'eve', 'eve', 'mallory', 'mallory', 'mallory', 'trudy', 'trudy']) {
    sockets.push(await deaf(t, server, token));
  }
  assert.ok(answers.held > 8 * 7 * MIB);
  const closed = Promise.race(sockets.map((socket) => once(socket, 'close')));
  const headers = { 'x-site-id': new Device(2).siteId, authorization: 'Bearer honest' };
  const response = await fetch(`${server.httpUrl}/long/changes`, { headers });
  assert.equal(response.status, 200);
  assert.ok((await response.text()).length > 7 * MIB);
  for (const socket of sockets) socket.resume();
  await closed;
  for (const socket of sockets) socket.destroy();
});
