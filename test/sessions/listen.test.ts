import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { limitConnections } from '../../src/sessions/connections.ts';
import { addressesOf, listenAlso } from '../../src/sessions/listen.ts';

const HOSTS = ['127.0.0.1', '::1'] as const;

async function start(t: TestContext, connections: number) {
  const limits: string[] = [];
  const server = createServer((_request, response) => response.end('here'));
  limitConnections(server, { connections, sharePerUser: 100 }, (limit) => limits.push(limit));
  await once(server.listen(0, HOSTS[0]), 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const { port } = address;
  const warnings: unknown[] = [];
  const logger = { warn: (...args: unknown[]) => warnings.push(args) };
  const stop = await listenAlso(server, HOSTS.slice(1), { port, logger });
  t.after(() => {
    server.close();
    server.closeAllConnections();
    return stop();
  });
  return { server, port, limits, warnings, stop, logger };
}

async function open(t: TestContext, port: number, host: string): Promise<Socket> {
  const socket = connect(port, host);
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

test('connections count once, whichever address of the host they come by', async (t) => {
  const { port, limits } = await start(t, 4);
  const sockets: Socket[] = [];
  for (let i = 0; i < 4; i++) sockets.push(await open(t, port, HOSTS[i % 2] ?? ''));
  const [first] = sockets;
  assert.ok(first !== undefined);
  const cut = once(first.resume(), 'close');
  await open(t, port, HOSTS[1]);
  await cut;
  assert.deepEqual(limits, ['limits.connections']);
});

test('all of them are served, and closed together', async (t) => {
  const { server, port, stop } = await start(t, 100);
  for (const host of HOSTS) {
    const request = get({ host, port, agent: false });
    const [response]: IncomingMessage[] = await once(request, 'response');
    assert.equal(response?.statusCode, 200);
    await once(response.resume(), 'end');
  }
  const socket = await open(t, port, HOSTS[1]);
  const closed = once(socket.resume(), 'close');
  const stopped = stop();
  server.close();
  server.closeAllConnections();
  await Promise.all([closed, stopped]);
  await assert.rejects(open(t, port, HOSTS[1]), { code: 'ECONNREFUSED' });
});

test('one that is in use is named, one that the machine has not is left out', async (t) => {
  const { server, port, warnings, logger } = await start(t, 100);
  await (await listenAlso(server, ['::1'], { port, logger }))();
  assert.equal(warnings.length, 1);
  await (await listenAlso(server, ['192.0.2.1'], { port, logger }))();
  assert.equal(warnings.length, 1);
});

test('only localhost stands for several', async () => {
  assert.deepEqual(await addressesOf('127.0.0.1'), ['127.0.0.1']);
  assert.ok((await addressesOf('localhost')).includes('127.0.0.1'));
});
