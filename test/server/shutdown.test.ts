import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

test('a stop tells clients to come back, with 1001', async (t) => {
  const server = await startServer(t);
  const client = await TestClient.join(server.wsUrl, new Device(1), t);
  await server.stop();
  assert.equal((await client.closed).code, 1001);
});

/** A server on which applies wait until they are let go on. */
async function startGated(t: TestContext) {
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let enter = () => {};
  const entered = new Promise<void>((resolve) => {
    enter = resolve;
  });
  const server = await startServer(t, {
    hooks: {
      async onBeforeApplyChanges(_client, changes) {
        enter();
        await gate;
        return { approved: changes, rejected: [] };
      },
    },
  });
  return { server, open, entered };
}

test('what was under way when the stop came is finished and acknowledged', async (t) => {
  const { server, open, entered } = await startGated(t);
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const answer = client.apply(device.write({ pk: [1], set: { a: 1 } }));
  await entered;
  const stopped = server.stop();
  open();
  assert.equal((await answer).applied, 1);
  assert.equal((await client.closed).code, 1001);
  await stopped;
});

test('while a stop waits for what is under way, the server lives and is not ready', async (t) => {
  const { server, open, entered } = await startGated(t);
  const statusOf = async (route: string) => (await fetch(`${server.httpUrl}${route}`)).status;
  assert.deepEqual([await statusOf('/livez'), await statusOf('/readyz')], [200, 200]);
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const answer = client.apply(device.write({ pk: [1], set: { a: 1 } }));
  await entered;
  const stopped = server.stop();
  while ((await statusOf('/readyz')) !== 503);
  assert.deepEqual([await statusOf('/livez'), await statusOf('/changes')], [200, 503]);
  open();
  assert.equal((await answer).applied, 1);
  await stopped;
});

test('a stop ends within its deadline although peers are silent, and loses nothing', async (t) => {
  const dataDir = temporaryDirectory();
  const args = ['--limits-shutdown-ms', '500'];
  const server = await startChildServer(t, { dataDir, args });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  assert.equal((await client.apply(device.write({ pk: [1], set: { a: 1 } }))).applied, 1);

  // One reads nothing any more, one never finishes its request, one says nothing at all.
  client.socket.pause();
  const halfRequest = connect(server.port, '127.0.0.1');
  halfRequest.on('error', () => undefined);
  halfRequest.write(
    'POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{',
  );
  const silent = connect(server.port, '127.0.0.1');
  silent.on('error', () => undefined);
  await Promise.all([once(silent, 'connect'), once(halfRequest, 'connect')]);

  const { code, signal } = await server.kill('SIGTERM');
  assert.deepEqual([code, signal], [0, null], server.output());

  const again = await startChildServer(t, { dataDir });
  const reader = await TestClient.join(again.wsUrl, new Device(2), t);
  assert.equal((await reader.changesSince()).length, 1);
});

test('a stop waits for nobody who has no request under way', { timeout: 20_000 }, async (t) => {
  const server = await startServer(t, { config: { limits: { shutdownMs: 60_000 } } });
  const silent = await connectRaw(t, server);
  const half = await connectRaw(t, server);
  half.write('GET /sync/livez HTTP/1.1\r\nHost: local');
  const idle = await connectRaw(t, server);
  idle.write('GET /sync/livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(idle, 'data');
  const closed = [silent, half, idle].map((socket) => once(socket.resume(), 'close'));
  await server.stop();
  await Promise.all(closed);
});

test('after-apply hooks that are under way are awaited', async (t) => {
  let told = false;
  const server = await startServer(t, {
    hooks: {
      async onAfterApplyChanges() {
        await new Promise(setImmediate);
        told = true;
      },
    },
  });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  await client.apply(device.write({ pk: [1], set: { a: 1 } }));
  await server.stop();
  assert.equal(told, true);
});
