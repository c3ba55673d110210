/** The client over HTTP, against a real server. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket as NetSocket } from 'node:net';
import { test } from 'node:test';
import { startCoordinator, type TestOwner } from '../../../src/testing/index.ts';
import { autoTransport, httpTransport } from '../src/http/index.ts';
import { startClient, synced, until, untilTable } from './support/client.ts';

const overHttp = () => httpTransport({ pollMs: 50 });

test('two clients over HTTP, and one over a WebSocket, sync', async (t) => {
  const server = await startCoordinator(t);
  const [ann, ben, cai] = [
    await startClient(t, { url: server.wsUrl, transport: overHttp() }),
    await startClient(t, { url: server.wsUrl, transport: overHttp() }),
    await startClient(t, { url: server.wsUrl }),
  ];
  await Promise.all([ann, ben, cai].map(synced));
  const writes = [ann, ben, cai].map((client, i) =>
    client.transact((tx) => {
      tx.table('tasks').set([i], { title: `task ${i}` });
    }),
  );
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  assert.deepEqual(fates, ['acknowledged', 'acknowledged', 'acknowledged']);
  await Promise.all(
    [ann, ben, cai].map((c) => untilTable(c, 'tasks', (rows) => rows.length === 3)),
  );
  assert.deepEqual(ann.table('tasks').all(), cai.table('tasks').all());
});

test('a new client takes a snapshot over HTTP, a known one pages', async (t) => {
  const server = await startCoordinator(t, { config: { sync: { batchSize: 100 } } });
  const ann = await startClient(t, { url: server.wsUrl });
  const ben = await startClient(t, { url: server.wsUrl, transport: overHttp() });
  await synced(ben);
  ben.disconnect();
  for (let i = 0; i < 30; i++) {
    ann.transact((tx) => {
      for (let j = 0; j < 50; j++) tx.table('tasks').set([i, j], { title: `task ${i} ${j}` });
    });
  }
  await synced(ann);
  ben.connect();
  await untilTable(ben, 'tasks', (rows) => rows.length === 1500);
  const cai = await startClient(t, { url: server.wsUrl, transport: overHttp() });
  await synced(cai);
  assert.deepEqual(cai.table('tasks').all(), ann.table('tasks').all());
  assert.deepEqual(ben.table('tasks').all(), ann.table('tasks').all());
});

test('a refused token is final over HTTP, until there is another one', async (t) => {
  const server = await startCoordinator(t, {
    config: { auth: { mode: 'token-whitelist', tokens: ['good'] } },
  });
  const ann = await startClient(t, { url: server.wsUrl, transport: overHttp(), token: 'bad' });
  await until(ann, ({ connection }) => connection === 'refused');
  ann.setToken('good');
  await synced(ann);
});

/** Passes requests on, but for WebSockets, which it cuts while `isBlocking`. */
async function startProxy(owner: TestOwner, port: number) {
  const state = { isBlocking: true, upgrades: 0 };
  const sockets = new Set<NetSocket>();
  const proxy = createServer();
  proxy.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  proxy.on('request', (request, response) => {
    const { method, headers, url } = request;
    const body: Buffer[] = [];
    request.on('data', (part) => body.push(part));
    request.on('end', async () => {
      const answer = await fetch(`http://127.0.0.1:${port}${url}`, {
        method,
        headers: { 'x-site-id': String(headers['x-site-id']) },
        body: method === 'POST' ? Buffer.concat(body) : undefined,
      });
      response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
    });
  });
  proxy.on('upgrade', (request, socket) => {
    state.upgrades++;
    if (state.isBlocking) return socket.destroy();
    const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const upstream = connect(port, '127.0.0.1', () => {
      upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers.join('')}\r\n`);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  owner.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const { port: ownPort } = proxy.address() as AddressInfo;
  return { state, wsUrl: `ws://127.0.0.1:${ownPort}/sync/ws` };
}

test('where WebSockets are blocked HTTP takes over, until they can be had again', async (t) => {
  const server = await startCoordinator(t);
  const proxy = await startProxy(t, Number(new URL(server.httpUrl).port));
  const transport = autoTransport({ pollMs: 50, retryMs: 200 });
  const ann = await startClient(t, { url: proxy.wsUrl, transport });
  const write = ann.transact((tx) => {
    tx.table('tasks').set([1], { title: 'through a proxy' });
  });
  assert.equal(await write.settled, 'acknowledged');
  assert.ok(proxy.state.upgrades >= 2);
  const countSessions = async () => {
    const { data } = await (await fetch(`${server.httpUrl}/status`)).json();
    return data.connectedClients;
  };
  assert.equal(await countSessions(), 0);
  proxy.state.isBlocking = false;
  await until(ann, ({ connection }) => connection !== 'live');
  await synced(ann);
  assert.equal(await countSessions(), 1);
});
