/** A body takes memory as it arrives: who announces much and sends little holds up nobody. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { AuthContext } from '../../src/hooks/types.ts';
import { defineHooks } from '../../src/index.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const FAIL = { timeout: 30_000 };
const ANNOUNCED = 32 * MIB;

const hooks = {
  onAuthenticate: ({ siteId = new Uint8Array(16), token }: AuthContext) => ({
    siteId,
    userId: token,
  }),
};

/** A module with a route that takes a body. */
function withRoute(options?: { open: boolean }) {
  return defineHooks({
    name: 'live',
    async setup(_options, { routes }) {
      routes((app) => void app.post('/hook', async () => 'thanks'), options);
      return hooks;
    },
  });
}

async function until(t: TestContext, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    t.signal.throwIfAborted();
    await aMoment();
  }
}

/** A request whose body is never whole. */
async function begin(t: TestContext, server: TestServer, token: string, sent: number) {
  const socket = await connectRaw(t, server);
  const lines = [
    'POST /sync/theirs/changes HTTP/1.1',
    'Host: localhost',
    `X-Site-Id: ${new Device(50).siteId}`,
    `Authorization: Bearer ${token}`,
    `Content-Length: ${ANNOUNCED}`,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  socket.write(' '.repeat(sent));
  return socket;
}

async function writeBeside(t: TestContext, server: TestServer): Promise<void> {
  const device = new Device(1);
  const headers = { 'x-site-id': device.siteId, authorization: 'Bearer honest' };
  const body = JSON.stringify([device.write({ pk: [1], set: { text: 'x'.repeat(10 * KIB) } })]);
  const { status } = await fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body });
  assert.equal(status, 200);
  const client = await TestClient.join(server.wsUrl, { siteId: device.siteId, token: 'honest' }, t);
  const applied = await client.apply(
    device.write({ pk: [2], set: { text: 'x'.repeat(10 * KIB) } }),
  );
  assert.equal(applied.applied, 1);
}

test('bodies that announce all there is, and send a byte, hold nothing', FAIL, async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks,
  });
  const sockets: Socket[] = [];
  for (const token of ['eve', 'mallory', 'eve', 'mallory']) {
    sockets.push(await begin(t, server, token, 1));
  }
  const { http } = server.service.metrics.requests;
  await until(t, () => http.get('apply_changes') === 4);
  await writeBeside(t, server);
  await until(t, () => server.service.memory.arrived.held === 0);
  // So that the server need not wait for the rest when it stops.
  for (const socket of sockets) socket.destroy();
});

test(
  'bodies that came in part and stand still leave others what is kept for them',
  FAIL,
  async (t) => {
    const limits = { bytesInFlight: 4 * MIB, bytesInFlightPerClient: 2 * MIB };
    const server = await startServer(t, {
      config: { storage: 'memory:', limits },
      hooks,
    });
    const { arrived } = server.service.memory;
    const sockets: Socket[] = [];
    for (const token of ['eve', 'mallory']) {
      sockets.push(await begin(t, server, token, 511 * KIB));
    }
    // All there is, but a step for each.
    await until(t, () => arrived.held >= 2 * 500 * KIB);
    await writeBeside(t, server);
    for (const socket of sockets) socket.destroy();
  },
);

test(
  'bodies of users that hold little each and stand still give way to others, over both transports',
  FAIL,
  async (t) => {
    const limits = { bytesInFlight: 4 * MIB, bytesInFlightPerClient: 2 * MIB };
    const server = await startServer(t, { config: { storage: 'memory:', limits }, hooks });
    const { arrived } = server.service.memory;
    const sockets: Socket[] = [];
    for (const token of ['eve', 'mallory']) {
      sockets.push(await begin(t, server, token, 511 * KIB));
    }
    await until(t, () => arrived.held >= 2 * 500 * KIB);
    // All of what is kept for others.
    const { siteId } = new Device(60);
    const trudy = await TestClient.join(server.wsUrl, { siteId, token: 'trudy' }, t);
    trudy.socket.send('x'.repeat(120 * KIB), { fin: false });
    await until(t, () => arrived.held >= 2 * 500 * KIB + 116 * KIB);
    const refused = [trudy.closed.then(({ code }) => String(code))];
    for (const [token, sent] of [
      ['oscar', 120 * KIB],
      ['peggy', 14 * KIB],
    ] as const) {
      const socket = await begin(t, server, token, sent);
      sockets.push(socket);
      refused.push(once(socket, 'data').then(String));
    }
    await until(t, () => arrived.held >= 2 * 500 * KIB + 248 * KIB);
    await writeBeside(t, server);
    assert.match(await Promise.race(refused), /OVERLOADED|1013/);
    // So that the server need not wait for the rest when it stops.
    for (const socket of sockets) socket.destroy();
  },
);

test(
  'bodies of strangers, to a route that is open to them, take nothing from clients',
  FAIL,
  async (t) => {
    const live = withRoute({ open: true });
    const limits = { bytesInFlight: 4 * MIB, bytesInFlightPerClient: 2 * MIB, shutdownMs: 100 };
    const config = { storage: 'memory:', hooks: [live], auth: { mode: 'custom' }, limits } as const;
    const server = await startServer(t, { config });
    const { arrived, strangers } = server.service.memory;
    const sockets: Socket[] = [];
    for (let i = 0; i < 5; i++) {
      const socket = await connectRaw(t, server);
      const head = 'POST /sync/hooks/live/hook HTTP/1.1\r\nHost: localhost\r\n';
      socket.write(`${head}Content-Type: application/json\r\nContent-Length: ${MIB}\r\n\r\n`);
      socket.write(' '.repeat(100 * KIB));
    }
    await until(t, () => strangers.held >= 100 * KIB);
    await writeBeside(t, server);
    assert.ok(arrived.held < 100 * KIB);
    for (const socket of sockets) socket.destroy();
  },
);

test(
  'a body in many chunks of a few bytes is refused, whoever reads it, and one of larger ones is read',
  FAIL,
  async (t) => {
    const live = withRoute();
    const server = await startServer(t, { config: { storage: 'memory:', hooks: [live] } });
    const send = async (path: string, chunk: string, chunks: number) => {
      const socket = await connectRaw(t, server);
      socket.write(
        `POST /sync/${path} HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${new Device(50).siteId}\r\n` +
          'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
      );
      socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`.repeat(chunks));
      socket.write('2\r\n[]\r\n0\r\n\r\n');
      return String((await once(socket, 'data'))[0]);
    };
    for (const path of ['changes', 'hooks/live/hook']) {
      assert.match(await send(path, ' ', 1023), /^HTTP\/1\.1 200 /);
      assert.match(await send(path, ' '.repeat(70), 4000), /^HTTP\/1\.1 200 /);
      const refused = await send(path, ' ', 4000);
      assert.match(refused, /^HTTP\/1\.1 400 .*\r\nconnection: close\r\n.*bytes a chunk/is);
    }
    assert.equal(server.service.memory.arrived.held, 0);
  },
);

test(
  'what no route asks for is answered before its body has come, whoever would have read it',
  FAIL,
  async (t) => {
    const live = withRoute({ open: true });
    const server = await startServer(t, { config: { storage: 'memory:', hooks: [live] } });
    const places = ['/nope', '/syncx', '//sync/changes', '/SYNC/changes', '/sync/hooks/live/nope'];
    for (const place of [...places, '/sync/nope', '/sync/hooks/nope/hook']) {
      const socket = await connectRaw(t, server);
      socket.write(
        `POST ${place} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${MIB}\r\n\r\n[{}`,
      );
      assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 404 /, place);
      socket.destroy();
    }
  },
);

test(
  'a body in chunks that nobody reads is the last that its connection brings',
  FAIL,
  async (t) => {
    const server = await startServer(t, { config: { storage: 'memory:' } });
    for (const request of ['GET /sync/livez', 'POST /nope', 'OPTIONS /sync/changes']) {
      const socket = await connectRaw(t, server);
      const closed = once(socket, 'close');
      const head = `${request} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`;
      socket.write(`${head}${'1\r\nx\r\n'.repeat(1000)}`);
      assert.match(String((await once(socket, 'data'))[0]), /\r\nconnection: close\r\n/i, request);
      await closed;
    }
  },
);

test(
  'a request without a body takes no memory for one, whatever it is answered',
  FAIL,
  async (t) => {
    const answers: ServerResponse[] = [];
    const live = defineHooks({
      name: 'live',
      async setup(_options, { routes }) {
        routes(
          (app) => {
            app.get('/events', (_request, reply) => {
              reply.hijack();
              reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
              reply.raw.write('data: 1\n\n');
              answers.push(reply.raw);
            });
            app.post('/echo', async ({ body }) => body);
          },
          { open: true },
        );
        return {};
      },
    });
    const server = await startServer(t, { config: { storage: 'memory:', hooks: [live] } });
    const { strangers } = server.service.memory;
    for (let i = 0; i < 5; i++) {
      const socket = await connectRaw(t, server);
      const begun = once(socket, 'data');
      socket.write('GET /sync/hooks/live/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await begun;
    }
    assert.deepEqual([answers.length, strangers.held], [5, 0]);

    // A body is counted as it comes, until the answer.
    const socket = await connectRaw(t, server);
    const text = JSON.stringify({ text: 'x'.repeat(300 * KIB) });
    const lines = [
      'POST /sync/hooks/live/echo HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      `Content-Length: ${text.length}`,
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n${text.slice(0, 200 * KIB)}`);
    await until(t, () => strangers.held > 190 * KIB);
    assert.ok(strangers.held <= 200 * KIB);
    let heard = '';
    socket.on('data', (piece) => {
      heard += piece;
    });
    socket.write(text.slice(200 * KIB));
    await until(t, () => heard.endsWith(text));
    await until(t, () => strangers.held === 0);
    for (const answer of answers) answer.end();
  },
);
