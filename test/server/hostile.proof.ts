import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer } from '../support/server.ts';

test('a flood of pings from a peer that does not read costs nobody else their answers', async (t) => {
  const PINGS = 100_000;
  const config = { storage: 'memory:', limits: { messagesPerSecond: 1_000_000 } };
  const server = await startServer(t, { config });
  const other = await TestClient.join(server.wsUrl, new Device(1), t);
  const { socket: flood } = await TestClient.join(server.wsUrl, new Device(2), t);
  flood.removeAllListeners('message');
  flood.pause();
  for (let i = 0; i < PINGS; i++) flood.send('{"type":"ping"}');
  await other.settled();
  let pongs = 0;
  const all = new Promise<void>((resolve, reject) => {
    flood.once('close', (code) => reject(new Error(`closed with ${code} after ${pongs} pongs`)));
    flood.on('message', () => {
      if (++pongs === PINGS) resolve();
    });
  });
  flood.resume();
  await other.settled();
  await all;
});

test('a reader of a page over HTTP that takes nothing is cut after limits.stalledMs', async (t) => {
  const config = { storage: 'memory:', limits: { stalledMs: 300 } };
  const server = await startServer(t, { config });
  const device = new Device(1);
  const writer = await TestClient.join(server.wsUrl, device, t);
  const text = 'x'.repeat(3_000_000);
  const writes = [1, 2, 3, 4, 5, 6, 7, 8].map((pk) => ({ pk: [pk], set: { text } }));
  assert.equal((await writer.apply(device.write(...writes))).applied, 8);
  const reader = await connectRaw(t, server);
  const site = new Device(2).siteId;
  reader.write(`GET /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\n\r\n`);
  await once(reader, 'readable');
  // Reads no more. What it is cut by shows at the server's end.
  const openSockets = () =>
    new Promise<number>((resolve) => {
      server.app.server.getConnections((_error, count) => resolve(count));
    });
  while ((await openSockets()) > 1) await new Promise(setImmediate);
  await writer.settled();
});

test('who may not come is told so before the body is read', async (t) => {
  const config = {
    storage: 'memory:',
    auth: { mode: 'token-whitelist' as const, tokens: ['good'] },
  };
  const server = await startServer(t, { config });
  const socket = await connectRaw(t, server);
  const site = new Device(2).siteId;
  socket.write(
    `POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\nContent-Length: 30000000\r\n\r\n[`,
  );
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1.1 401 /);
  socket.destroy();
});
