/** Only `/ws` becomes a WebSocket: whatever else asks to be upgraded is answered as HTTP, and closed. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
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
  const askings: Asking[] = [{}, { upgrade: 'WebSocket' }, { method: 'HEAD' }];
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
  for (const asking of [{ method: 'HEAD' }, { method: 'POST' }]) {
    assert.match(await askToUpgrade(t, httpUrl, '/sync/ws', asking), /^HTTP\/1\.1 4\d\d /);
  }
});

/** What a client of Java sends with the first request of a connection. */
const H2C = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n';

test('whoever asks for another protocol is answered in this one', FAIL, async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const device = new Device(1);
  const body = JSON.stringify([device.write({ pk: [1], set: { a: 1 } })]);
  const chunked = `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const requests: [line: string, rest: string, answer: RegExp][] = [
    ['GET /sync/livez', '\r\n', /^HTTP\/1\.1 200 .*"live":true/s],
    ['GET /sync/changes', '\r\n', /^HTTP\/1\.1 200 .*"changes":\[\]/s],
    ['POST /sync/changes', `Content-Length: ${body.length}\r\n\r\n${body}`, /"applied":1,/],
    ['POST /sync/changes', chunked, /"skipped":1,/],
    ['GET /sync/ws', '\r\n', /^HTTP\/1\.1 404 .*"NOT_FOUND"/s],
    ['HEAD /sync/livez', '\r\n', /^HTTP\/1\.1 200 /],
  ];
  for (const upgrade of [
    H2C,
    H2C.replace('h2c', 'TLS/1.0'),
    H2C.replace('h2c', 'h2c, websocket'),
  ]) {
    // All over one connection, which goes on after each.
    const socket = await connectRaw(t, { httpUrl });
    for (const [line, rest, answer] of requests) {
      const site = `X-Site-Id: ${device.siteId}`;
      socket.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${site}\r\n${upgrade}${rest}`);
      const expected = line.startsWith('POST') && upgrade !== H2C ? /"skipped":1,/ : answer;
      let heard = '';
      while (!expected.test(heard)) {
        heard += String((await once(socket, 'data'))[0]);
        assert.match(heard, /^HTTP\/1\.1 (?:200|404) /, line);
      }
      assert.match(heard, /^connection: keep-alive\r$/im, line);
    }
    socket.destroy();
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

test(
  'of requests in one piece each is answered, or the client told to send it again',
  FAIL,
  async (t) => {
    const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
    const device = new Device(1);
    const body = JSON.stringify([device.write({ pk: [1], set: { a: 1 } })]);
    const head = `Host: localhost\r\nX-Site-Id: ${device.siteId}\r\n`;
    const plain = `GET /sync/livez HTTP/1.1\r\n${head}\r\n`;
    const h2c = `GET /sync/livez HTTP/1.1\r\n${head}${H2C}\r\n`;
    const post = `POST /sync/changes HTTP/1.1\r\n${head}${H2C}`;
    const whole = `${post}Content-Length: ${body.length}\r\n\r\n${body}`;
    const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n${chunks}`;
    for (const requests of [
      [h2c, h2c],
      [plain, h2c, plain],
      [h2c, plain.slice(0, 20), plain.slice(20)],
      [whole, whole],
      [whole, plain],
      [chunked, chunked],
      [chunked, plain],
      [whole, plain.slice(0, 20), plain.slice(20)],
    ]) {
      const socket = await connectRaw(t, { httpUrl });
      socket.write(requests.join(''));
      const asked = requests.join('').match(/ HTTP\/1\.1\r\n/g)?.length;
      let heard = '';
      const isOver = () =>
        heard.match(/HTTP\/1\.1 200 /g)?.length === asked || /^connection: close\r$/im.test(heard);
      for await (const chunk of socket) {
        heard += chunk;
        if (isOver()) break;
      }
      assert.ok(isOver(), `${requests.join('|')}: ${heard}`);
    }
  },
);

for (const [what, lines] of [
  ['an unknown expectation', 'Host: localhost\r\nExpect: foo\r\n'],
  ['no Host', ''],
  [
    'an unknown version of WebSocket',
    'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
  ],
] as const) {
  test(`${what} is refused so that a page can read why`, FAIL, async (t) => {
    const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
    const socket = await connectRaw(t, { httpUrl });
    socket.write(`GET /sync/ws HTTP/1.1\r\nOrigin: https://page.example\r\n${lines}\r\n`);
    let heard = '';
    for await (const chunk of socket) heard += chunk;
    assert.match(heard, /^HTTP\/1\.1 400 /);
    assert.match(heard, /^access-control-allow-origin: (?:\*|https:\/\/page\.example)\r$/im);
    assert.match(heard, /\{"ok":false,"error":\{"code":"MESSAGE_ERROR","message":"[^"]+"\}\}$/);
  });
}
