import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

test('a hook that was asked about a client hears that it went, also if it went meanwhile', async (t) => {
  let asked = () => {};
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  let told = () => {};
  const isTold = new Promise<void>((resolve) => {
    told = resolve;
  });
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      onClientConnect: async (_client, _socket, { signal }) => {
        asked();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return true;
      },
      onClientDisconnect: () => told(),
    },
  });
  const client = await TestClient.open(server.wsUrl);
  client.send({ type: 'handshake', siteId: new Device(1).siteId, protocolVersion: 1 });
  await isAsked;
  client.socket.terminate();
  await isTold;
  assert.equal(server.service.sessions.size, 0);
});
