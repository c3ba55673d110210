/** Requests that are sent without waiting for the answers before them: one at a time is dealt with. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import coordinator from '../../plugins/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { deferred } from '../hooks/support.ts';
import { bareApp, listen } from '../plugins/bare-app.ts';
import { testConfig } from '../plugins/service-app.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer } from '../support/server.ts';

const FAIL = { timeout: 30_000 };

/** A request that says who it is by its site. */
function changesOf(number: number, more = ''): string {
  const { siteId } = new Device(number);
  return `GET /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${siteId}\r\n${more}\r\n`;
}

/** Hooks that count who is being authenticated, and let nobody in before they are told. */
function gatekeeper() {
  const gate = deferred();
  const entered = deferred();
  const counts = { now: 0, most: 0, all: 0 };
  return {
    gate,
    entered,
    counts,
    hooks: {
      async onAuthenticate({ siteId }: { siteId?: Uint8Array }) {
        counts.all++;
        counts.most = Math.max(counts.most, ++counts.now);
        entered.resolve();
        await gate.promise;
        counts.now--;
        return { siteId: siteId ?? new Uint8Array(16) };
      },
    },
  };
}

async function readToEnd(socket: AsyncIterable<unknown>): Promise<string> {
  let heard = '';
  for await (const chunk of socket) heard += chunk;
  return heard;
}

test('requests that came together are answered one at a time, in their order', FAIL, async (t) => {
  const { hooks, gate, entered, counts } = gatekeeper();
  const server = await startServer(t, { config: { storage: 'memory:' }, hooks });
  const socket = await connectRaw(t, server);
  socket.write(changesOf(1).repeat(4) + changesOf(1, 'Connection: close\r\n'));
  await entered.promise;
  gate.resolve();
  const heard = await readToEnd(socket);
  assert.equal(heard.match(/HTTP\/1\.1 200 /g)?.length, 5);
  assert.deepEqual(counts, { now: 0, most: 1, all: 5 });
});

for (const isOwnServer of [true, false]) {
  const where = isOwnServer ? 'of its own server' : 'in an app';
  test(
    `60 KB of requests at once, ${where}: one is begun, and the connection closed`,
    FAIL,
    async (t) => {
      const { hooks, gate, counts } = gatekeeper();
      t.after(() => gate.resolve());
      const app = bareApp(t);
      if (!isOwnServer) {
        await app.register(coordinator, { prefix: '/sync', config: testConfig(), hooks });
      }
      const target = isOwnServer
        ? await startServer(t, { config: { storage: 'memory:' }, hooks })
        : { httpUrl: `http://${await listen(app)}/sync` };
      const socket = await connectRaw(t, target);
      socket.write(changesOf(1).repeat(600));
      await once(socket.resume(), 'close');
      assert.equal(counts.all, 1);
    },
  );
}

test('an upgrade behind a request that is not answered closes the connection', FAIL, async (t) => {
  const { hooks, gate, entered } = gatekeeper();
  t.after(() => gate.resolve());
  const server = await startServer(t, { config: { storage: 'memory:' }, hooks });
  const socket = await connectRaw(t, server);
  socket.write(changesOf(1));
  await entered.promise;
  socket.write(
    'GET /sync/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  await once(socket.resume(), 'close');
});
