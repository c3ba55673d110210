/** Clients that go without a word: no FIN, no close. And who asks whether the server is there. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { frameHeader, joinRaw } from '../hostile/raw-socket.ts';
import { aMoment } from '../support/moment.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

const FAIL = { timeout: 30_000 };
const PATIENT = 60_000;

/** A server with room for one session, and who has left it. */
async function startSmall(t: TestContext, limits: { pingMs: number; pongTimeoutMs: number }) {
  const left = deferred();
  const server = await startServer(t, {
    config: { storage: 'memory:', limits: { sessions: 1, sharePerUser: 100, ...limits } },
    hooks: {
      async onClientDisconnect() {
        left.resolve();
      },
    },
  });
  return { server, left: left.promise };
}

/** A device in a process of its own. */
async function startProcess(t: TestContext, { wsUrl }: TestServer, number: number) {
  const { siteId } = new Device(number);
  const code = `
    const { WebSocket } = require('ws');
    const socket = new WebSocket(${JSON.stringify(wsUrl)});
    socket.on('open', () => socket.send(${JSON.stringify(JSON.stringify({ type: 'handshake', siteId }))}));
    socket.on('message', (text) => process.stdout.write(text));
  `;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [heard] = await once(child.stdout, 'data');
  assert.match(String(heard), /handshake_ack/);
  return child;
}

const VANISHING: Record<string, (t: TestContext, server: TestServer) => Promise<void>> = {
  async 'reads and answers nothing any more'(t, server) {
    const port = Number(new URL(server.httpUrl).port);
    await joinRaw({ server: { port }, owner: t }, 1);
  },
  async 'is a process that has stopped'(t, server) {
    const child = await startProcess(t, server, 1);
    child.kill('SIGSTOP');
  },
};

for (const [how, vanish] of Object.entries(VANISHING)) {
  test(`a client that ${how} is found, and its place is free`, FAIL, async (t) => {
    const { server, left } = await startSmall(t, { pingMs: 500, pongTimeoutMs: 500 });
    await vanish(t, server);
    assert.equal(server.service.status().connectedClients, 1);
    await left;
    assert.equal(server.service.status().connectedClients, 0);
    await TestClient.join(server.wsUrl, new Device(2), t);
  });
}

test('a client that answers pings stays, however little it has to say', FAIL, async (t) => {
  const { server } = await startSmall(t, { pingMs: 20, pongTimeoutMs: PATIENT });
  const client = await TestClient.join(server.wsUrl, new Device(1), t);
  for (let i = 0; i < 10; i++) await once(client.socket, 'ping');
  await client.settled();
});

test('a ping in the middle of a long message is answered by what comes of it', FAIL, async (t) => {
  const { server } = await startSmall(t, { pingMs: 20, pongTimeoutMs: PATIENT });
  const port = Number(new URL(server.httpUrl).port);
  const { socket } = await joinRaw({ server: { port }, owner: t }, 1);
  const text = Buffer.from('{"type":"ping"}');
  socket.write(frameHeader(text.length));
  for (const byte of text) {
    // A ping: whoever has one comes again, and is told more.
    await once(socket, 'data');
    socket.write(Buffer.of(byte));
  }
  let heard = '';
  while (!heard.includes('{"type":"pong"}')) heard += String((await once(socket, 'data'))[0]);
});

/** Of the server's end of a connection: the timer that runs in the system for it; 2 is that of keep-alive. */
function timerOf(socket: Socket): string | undefined {
  const port = (of: number | undefined) => `:${of?.toString(16).toUpperCase().padStart(4, '0')} `;
  const ends = `${port(socket.remotePort)}[0-9A-F]+${port(socket.localPort)}`;
  const line = new RegExp(`${ends}\\S+ \\S+ (\\d\\d):`);
  return line.exec(readFileSync('/proc/net/tcp', 'utf8'))?.[1];
}

test('the system asks after connections that say nothing', FAIL, async (t) => {
  if (process.platform !== 'linux') return;
  const { server } = await startSmall(t, { pingMs: PATIENT, pongTimeoutMs: PATIENT });
  const silent = await connectRaw(t, server);
  while (timerOf(silent) !== '02') await aMoment();
  silent.destroy();
  const port = Number(new URL(server.httpUrl).port);
  const { socket } = await joinRaw({ server: { port }, owner: t }, 1);
  while (timerOf(socket) !== '02') await aMoment();
});

test('a ping is answered at once, whatever else is under way for its client', FAIL, async (t) => {
  const gates = { login: deferred(), apply: deferred() };
  const entered = { login: deferred(), apply: deferred() };
  const server = await startServer(t, {
    config: { storage: 'memory:', hooks: { timeoutMs: PATIENT } },
    hooks: {
      async onAuthenticate({ siteId }) {
        entered.login.resolve();
        await gates.login.promise;
        return siteId === undefined ? undefined : { siteId };
      },
      async onBeforeApplyChanges(_client, changes) {
        entered.apply.resolve();
        await gates.apply.promise;
        return { approved: changes, rejected: [] };
      },
    },
  });
  const device = new Device(1);
  const client = await TestClient.open(server.wsUrl);
  t.after(() => client.socket.terminate());
  const demandPong = async (payload: string) => {
    const pong = once(client.socket, 'pong');
    client.socket.ping(payload);
    assert.equal(String((await pong)[0]), payload);
  };
  client.send({ type: 'handshake', siteId: device.siteId });
  await entered.login.promise;
  client.send({ type: 'ping' });
  await demandPong('while it is let in');
  gates.login.resolve();
  await client.next('handshake_ack');

  for (let pk = 0; pk < 3; pk++) {
    client.send({ type: 'apply_changes', changes: [device.write({ pk: [pk], set: { a: 1 } })] });
  }
  client.send({ type: 'get_changes' });
  await entered.apply.promise;
  await demandPong('while its changes are looked at');
  gates.apply.resolve();
  for (let i = 0; i < 3; i++) await client.next('apply_result');
});
