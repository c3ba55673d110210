/** Only `/ws` becomes a WebSocket: whatever else asks to be upgraded is answered as HTTP, and closed. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import websocket from '@fastify/websocket';
import coordinator from '../../plugins/coordinator.ts';
import { createCoordinatorServer } from '../../src/server.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { bareApp, listen } from '../plugins/bare-app.ts';
import { testConfig } from '../plugins/service-app.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer } from '../support/server.ts';

const FAIL = { timeout: 20_000 };

interface Asking {
  method?: string;
  upgrade?: string;
  /** Further header lines. */
  headers?: string;
}

/** Asks for an upgrade. @returns all that was answered until the server closed, or its 101 */
async function askToUpgrade(
  t: TestContext,
  httpUrl: string,
  path: string,
  { method = 'GET', upgrade = 'websocket', headers = '' }: Asking = {},
): Promise<string> {
  const socket = await connectRaw(t, { httpUrl });
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${new Device(1).siteId}\r\n` +
      `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n${headers}` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  let heard = '';
  for await (const chunk of socket) {
    heard += chunk;
    if (heard.startsWith('HTTP/1.1 101')) break;
  }
  return heard;
}

const PATHS = [
  'livez',
  'readyz',
  'status',
  'metrics',
  'changes',
  'snapshot',
  '%6Civez',
  'ws/',
  '//ws',
];

test('no route but /ws can be upgraded, however it is asked', FAIL, async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const askings: Asking[] = [{}, { upgrade: 'WebSocket' }, { upgrade: 'h2c' }, { method: 'HEAD' }];
  for (const path of [...PATHS, ...PATHS.slice(2, 6).map((it) => `db/${it}`), 'nowhere']) {
    for (const asking of askings) {
      const heard = await askToUpgrade(t, httpUrl, `/sync/${path}`, asking);
      assert.match(heard, /^HTTP\/1\.1 404 /, `${JSON.stringify(asking)} ${path}: ${heard}`);
    }
  }
  for (const path of ['changes', 'apply', 'snapshot']) {
    const asking = { method: 'POST', headers: 'Content-Length: 2\r\n' };
    assert.match(await askToUpgrade(t, httpUrl, `/sync/${path}`, asking), /^HTTP\/1\.1 404 /);
  }
  for (const asking of [{ upgrade: 'h2c' }, { method: 'HEAD' }, { method: 'POST' }]) {
    assert.match(await askToUpgrade(t, httpUrl, '/sync/ws', asking), /^HTTP\/1\.1 4\d\d /);
  }
});

test(
  '/ws is found with a query, percent-encoded and in any case of the header',
  FAIL,
  async (t) => {
    const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
    for (const path of ['/sync/ws', '/sync/ws?v=1', '/sync/%77s']) {
      const heard = await askToUpgrade(t, httpUrl, path, { upgrade: 'WebSocket' });
      assert.match(heard, /^HTTP\/1\.1 101 /, path);
    }
  },
);

test(
  'routes that are added to the server are upgraded if they speak WebSocket',
  FAIL,
  async (t) => {
    const config = testConfig({ host: '127.0.0.1', port: 0 });
    const server = await createCoordinatorServer({ config });
    t.after(() => server.stop());
    server.app.get('/own', async () => 'hello');
    server.app.get('/echo', { websocket: true }, (socket) => {
      socket.on('message', (data) => socket.send(String(data)));
    });
    const { url } = await server.start();
    assert.match(await askToUpgrade(t, url, '/own'), /^HTTP\/1\.1 404 /);
    assert.match(await askToUpgrade(t, url, '/echo'), /^HTTP\/1\.1 101 /);
  },
);

test('in an app with WebSockets of its own no other route of ours is upgraded', FAIL, async (t) => {
  const app = bareApp(t);
  await app.register(websocket, { preClose: (done) => done() });
  app.get('/echo', { websocket: true }, (socket) => {
    socket.on('message', (data) => socket.send(String(data)));
  });
  await app.register(coordinator, { prefix: '/sync', config: testConfig() });
  const host = await listen(app);
  for (const path of ['livez', 'status', 'metrics']) {
    const heard = await askToUpgrade(t, `http://${host}`, `/sync/${path}`);
    assert.match(heard, /^HTTP\/1\.1 404 /, path);
  }
  const echo = await TestClient.open(`ws://${host}/echo`);
  echo.send({ type: 'hello' });
  await echo.next('hello');
  echo.socket.terminate();
  await TestClient.join(`ws://${host}/sync/ws`, new Device(1), t);
});
