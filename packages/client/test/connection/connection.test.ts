/** When a connection tries again, when it asks for a token, and when it lets go. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../../src/connection/connection.ts';
import type { ConnectionOptions, ConnectionPort } from '../../src/connection/options.ts';
import { ServerError } from '../../src/connection/server-error.ts';
import { type Page, watchPage } from '../../src/connection/wake-ups.ts';
import { uncaught } from '../support/client.ts';
import { FakeWorld, settle } from '../support/fake-world.ts';

function start(options: Partial<ConnectionOptions> = {}, port: Partial<ConnectionPort> = {}) {
  const world = new FakeWorld();
  const replica: ConnectionPort = {
    position: () => 'position',
    checkpoint: () => undefined,
    receive: async () => {},
    receiveChunk: async () => {},
    startOver: async () => {},
    ...port,
  };
  const connection = new Connection(
    { url: 'ws://server/sync/ws', siteId: 'site', ...options },
    replica,
    world,
  );
  /** Lets the connection in, and answers what it has missed. */
  const serve = async (ack: object = {}) => {
    await settle();
    const { socket } = world;
    socket.open();
    socket.tell({ type: 'handshake_ack', serverSiteId: 'server', ...ack });
    await settle();
    socket.tell({ type: 'changes', changeSets: [], hasMore: false });
    await settle();
  };
  const tell = async (message: object) => {
    world.socket.tell(message);
    await settle();
  };
  const fail = (code: string, more: object = {}) =>
    tell({ type: 'error', code, message: code, fatal: false, ...more });
  const state = () => connection.status.state;
  connection.connect();
  return { world, connection, serve, tell, fail, state };
}

test('pauses grow, are random also at their greatest, and shrink only once changes were answered', async () => {
  const { world, serve, state } = start();
  await settle();
  const pauses: number[] = [];
  for (let i = 0; i < 12; i++) {
    world.socket.open();
    world.socket.tell({ type: 'handshake_ack', serverSiteId: 'server' });
    await settle();
    assert.equal(state(), 'catchingUp');
    // It was let in, but no changes came.
    world.socket.end(1006);
    await settle();
    pauses.push(world.nextMs);
    await world.tick();
  }
  assert.deepEqual(pauses.slice(0, 4), [250, 500, 1000, 2000]);
  assert.equal(pauses.at(-1), 15_000);
  world.socket.end(1006);
  world.randomNumber = 0.9;
  await settle();
  await world.tick();
  world.socket.end(1006);
  await settle();
  assert.equal(world.nextMs, 27_000);
  await world.tick();
  await serve();
  assert.equal(state(), 'live');
  world.socket.end(1001);
  await settle();
  assert.equal(world.nextMs, 450);
});

test('a pause that the server asks for is kept, also when the app wakes', async () => {
  const { world, connection, fail, state } = start();
  await settle();
  world.socket.open();
  await fail('OVERLOADED', { retryAfterMs: 20_000 });
  assert.equal(state(), 'waiting');
  assert.equal(world.nextMs, 20_250);
  connection.wake();
  assert.equal(state(), 'waiting');
  await world.advance(20_000);
  connection.wake();
  assert.equal(state(), 'connecting');
});

test('a token function that fails, or never answers, is asked again after a pause', async () => {
  const answers = [
    () => Promise.reject(new Error('the login is away')),
    () => new Promise<string>(() => {}),
    async () => 'secret',
  ];
  const { world, serve, state, connection } = start({ token: () => answers.shift()?.() });
  await settle();
  assert.equal(state(), 'waiting');
  assert.equal(connection.status.error?.message, 'the login is away');
  await world.tick();
  assert.equal(state(), 'connecting');
  await world.advance(10_000);
  assert.equal(state(), 'waiting');
  assert.equal(world.sockets.length, 0);
  await world.tick();
  await serve();
  assert.equal(state(), 'live');
  assert.equal(world.socket.lastOf('handshake')?.token, 'secret');
});

test('a batch with which the connection was closed as too large is answered so, and one that was lost is not', async () => {
  const { world, serve, connection } = start();
  const answers: unknown[] = [];
  for (const code of [1009, 1006]) {
    await serve();
    connection.apply([], (answer) => answers.push(answer instanceof ServerError && answer.code));
    world.socket.end(code);
    await settle();
    await world.tick();
  }
  assert.deepEqual(answers, ['TOO_LARGE', false]);
});

test('it is live with the last message of the answer, and not before', async () => {
  const { world, tell, state } = start();
  await settle();
  world.socket.open();
  await tell({ type: 'handshake_ack', serverSiteId: 'server' });
  await tell({ type: 'changes', changeSets: [], hasMore: true });
  assert.equal(state(), 'catchingUp');
  await tell({ type: 'changes', changeSets: [], hasMore: false });
  assert.equal(state(), 'live');
});

test('what was refused long ago does not lengthen a pause', async () => {
  const { world, serve, tell, fail } = start();
  await serve();
  await fail('RATE_LIMITED', { retryAfterMs: 30_000 });
  for (let i = 0; i < 3; i++) {
    await world.advance(20_000);
    await tell({ type: 'pong' });
  }
  world.socket.end(1006);
  await settle();
  assert.ok(world.nextMs <= 500);
});

test('credentials that have expired are replaced at once, and after pauses if that does not help', async () => {
  const tokens = ['old', 'newer', 'newest'];
  const { world, fail, serve, state } = start({ token: async () => tokens.shift() });
  await serve();
  await fail('AUTH_EXPIRED');
  world.socket.end(4001);
  assert.equal(world.nextMs, 0);
  await world.tick();
  world.socket.open();
  assert.equal(world.socket.lastOf('handshake')?.token, 'newer');
  await fail('AUTH_EXPIRED');
  assert.equal(state(), 'waiting');
  assert.equal(world.nextMs, 250);
});

test('a fixed token that has expired is refused until another one is set', async () => {
  const { world, connection, serve, fail, state } = start({ token: 'old' });
  await serve();
  await fail('AUTH_EXPIRED');
  assert.equal(state(), 'refused');
  connection.wake();
  assert.equal(state(), 'refused');
  assert.equal(world.timers.size, 0);
  connection.setToken('new');
  await serve();
  assert.equal(state(), 'live');
  assert.equal(world.socket.lastOf('handshake')?.token, 'new');
});

test('a token is renewed on the open socket before it expires, by the clock of the server', async () => {
  let asked = 0;
  const { world, serve, tell, state } = start({ token: () => `token ${++asked}` });
  // The device's clock is two hours ahead.
  const serverTimeMs = world.timeMs - 7_200_000;
  await serve({ serverTimeMs, expiresAt: serverTimeMs + 100_000 });
  for (let i = 0; i < 3; i++) {
    await world.advance(23_000);
    await tell({ type: 'pong' });
  }
  assert.equal(asked, 1);
  await world.advance(1_000);
  assert.equal(state(), 'renewing');
  const { requestId, token } = world.socket.lastOf('authenticate') ?? {};
  assert.equal(token, 'token 2');
  await tell({ type: 'authenticated', requestId, expiresAt: serverTimeMs + 300_000 });
  assert.equal(state(), 'live');
  assert.equal(world.sockets.length, 1);
});

for (const { name, renew } of [
  { name: 'fails', renew: () => Promise.reject(new Error('no network')) },
  { name: 'never comes', renew: () => new Promise<string>(() => {}) },
  { name: 'is none', renew: async () => undefined },
]) {
  test(`a renewal for which the token ${name} is tried again, and the session goes on`, async () => {
    let asked = 0;
    const { world, serve, tell, state } = start({
      token: () => (++asked === 2 ? renew() : `token ${asked}`),
    });
    await serve({ expiresAt: world.timeMs + 20_000 });
    await world.advance(10_000);
    await tell({ type: 'pong' });
    await world.advance(15_000);
    const { requestId, token } = world.socket.lastOf('authenticate') ?? {};
    assert.equal(token, 'token 3');
    await tell({ type: 'authenticated', requestId });
    assert.equal(state(), 'live');
    assert.equal(world.sockets.length, 1);
  });
}

test('a renewal that the server can not judge at the moment is tried again', async () => {
  let asked = 0;
  const { world, serve, fail, state } = start({ token: () => `token ${++asked}` });
  await serve({ expiresAt: world.timeMs + 20_000 });
  await world.advance(10_000);
  const { requestId } = world.socket.lastOf('authenticate') ?? {};
  await fail('HOOK_FAILED', { requestId });
  assert.equal(state(), 'live');
  await world.advance(5_000);
  assert.equal(world.socket.lastOf('authenticate')?.token, 'token 3');
});

test('a token that was set while the connection was made is shown to the server', async () => {
  const { world, connection, serve, state } = start({ token: 'old' });
  await settle();
  world.socket.open();
  connection.setToken('new');
  await serve();
  assert.equal(state(), 'renewing');
  assert.equal(world.socket.lastOf('authenticate')?.token, 'new');
});

test('a token that never comes, and a server that never answers, are given up', async () => {
  const { world, state } = start({ token: () => new Promise(() => {}) });
  await world.advance(10_000);
  assert.equal(state(), 'waiting');
  const silent = start();
  await settle();
  silent.world.socket.open();
  await silent.world.advance(10_000);
  assert.equal(silent.state(), 'waiting');
});

test('a socket whose end is never told is dropped: when idle, and sooner when the app wakes', async () => {
  const { world, connection, serve, state } = start();
  await serve();
  await world.advance(34_000);
  assert.equal(state(), 'live');
  assert.equal(world.socket.lastOf('ping')?.type, 'ping');
  await world.advance(1_000);
  assert.equal(state(), 'waiting');
  await world.tick();
  await serve();
  connection.wake();
  await world.advance(5_000);
  assert.equal(state(), 'waiting');
});

test('a server that answers pings but not what it was asked is left', async () => {
  const { world, connection, serve, tell, state } = start();
  await serve();
  connection.apply([], () => {});
  for (let i = 0; i < 3; i++) {
    await world.advance(25_000);
    await tell({ type: 'pong' });
    assert.equal(state(), 'live');
  }
  await world.advance(25_000);
  assert.equal(state(), 'waiting');
});

test('work that fails in the store loses the connection, and late work of it does not count', async () => {
  let finish = () => {};
  const stored = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { world, connection, serve, tell, state } = start({}, { receive: () => stored });
  await serve();
  assert.equal(state(), 'catchingUp');
  connection.stop();
  connection.connect();
  await settle();
  // What is read on another socket must not overtake it.
  assert.equal(world.sockets.length, 1);
  // The answer on the socket before is worked off only now.
  finish();
  await settle();
  assert.equal(state(), 'connecting');
  assert.equal(world.sockets.length, 2);
  world.socket.open();
  await tell({ type: 'handshake_ack', serverSiteId: 'server' });
  assert.equal(state(), 'catchingUp');
  const broken = start({}, { receive: () => Promise.reject(new Error('the store is down')) });
  await broken.serve();
  assert.equal(broken.state(), 'waiting');
  assert.equal(broken.connection.status.error?.message, 'the store is down');
});

test('who may not read may still write', async () => {
  const received: boolean[] = [];
  const receive = async (_: unknown, isOrdered: boolean) => void received.push(isOrdered);
  const { world, fail, tell, state, connection } = start({}, { receive });
  await settle();
  world.socket.open();
  await tell({ type: 'handshake_ack', serverSiteId: 'server' });
  await fail('NOT_AUTHORIZED', { requestId: world.socket.lastOf('get_changes')?.requestId });
  assert.equal(state(), 'live');
  assert.equal(connection.status.error?.message, 'NOT_AUTHORIZED');
  // It may again: there is a gap, which has to be asked for.
  await tell({ type: 'push_changes', changeSets: [] });
  assert.equal(state(), 'waiting');
  assert.deepEqual(received, []);
});

test('a snapshot that is too old when it has come is taken again after a pause', async () => {
  const { world, fail, tell, state } = start();
  await settle();
  world.socket.open();
  await tell({ type: 'handshake_ack', serverSiteId: 'server' });
  const refuse = () =>
    fail('SNAPSHOT_REQUIRED', { requestId: world.socket.lastOf('get_changes')?.requestId });
  await refuse();
  assert.equal(state(), 'bootstrapping');
  await tell({ type: 'snapshot_complete' });
  assert.equal(state(), 'catchingUp');
  await refuse();
  assert.equal(state(), 'waiting');
});

test('pushes move the position only when all before them has been received', async () => {
  const received: boolean[] = [];
  const receive = async (_: unknown, isOrdered: boolean) => void received.push(isOrdered);
  const { serve, tell, fail, state } = start({}, { receive });
  const push = { type: 'push_changes', changeSets: [] };
  const changes = { type: 'changes', changeSets: [], hasMore: false };
  await serve();
  await tell(push);
  assert.deepEqual(received.splice(0), [true, true]);
  await fail('SNAPSHOT_REQUIRED');
  assert.equal(state(), 'bootstrapping');
  // The rest of an answer that the snapshot takes the place of, and what the snapshot holds.
  await tell(changes);
  await tell(push);
  assert.deepEqual(received, []);
  await tell({ type: 'snapshot_complete' });
  assert.equal(state(), 'catchingUp');
  await tell(push);
  await tell(changes);
  await tell(push);
  assert.deepEqual(received, [false, true, true]);
});

test('a listener that throws, or stops it, does no harm', async (t) => {
  const { connection, serve, state, world } = start();
  const thrown = uncaught(t);
  let end = connection.subscribe(() => {
    throw new Error('the fault of a view');
  });
  await serve();
  assert.equal(state(), 'live');
  assert.ok(thrown.length > 0);
  end();
  end = connection.subscribe(() => connection.stop());
  world.socket.end(1006);
  await settle();
  assert.equal(state(), 'stopped');
  assert.equal(world.timers.size, 0);
});

class FakePage implements Page {
  hidden = false;
  readonly #listeners = new Map<string, () => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  on(event: string, run: () => void): () => void {
    this.#listeners.set(event, run);
    return () => this.#listeners.delete(event);
  }

  isHidden(): boolean {
    return this.hidden;
  }

  tell(event: string): void {
    this.#listeners.get(event)?.();
  }
}

test('a page lets go when it was hidden for five minutes with nothing to send, and comes back', async () => {
  const { world, connection, serve, tell, state } = start();
  const page = new FakePage();
  let hasUnsent = true;
  const end = watchPage(connection, Object.assign(world, { page }), () => !hasUnsent);
  const stay = async (minutes: number) => {
    for (let i = 0; i < minutes * 3; i++) {
      await world.advance(20_000);
      if (state() === 'live') await tell({ type: 'pong' });
    }
  };
  await serve();
  page.hidden = true;
  page.tell('visibilitychange');
  await tell({ type: 'pong' });
  await stay(6);
  assert.equal(state(), 'live');
  hasUnsent = false;
  await stay(5);
  assert.equal(state(), 'offline');
  page.hidden = false;
  page.tell('visibilitychange');
  await serve();
  assert.equal(state(), 'live');
  page.tell('pagehide');
  assert.equal(state(), 'offline');
  page.tell('pageshow');
  assert.equal(state(), 'connecting');
  page.tell('offline');
  assert.equal(state(), 'offline');
  page.tell('online');
  assert.equal(state(), 'connecting');
  // A device that is wrong about its network, or forgets to tell.
  page.tell('offline');
  await world.advance(60_000);
  assert.equal(state(), 'connecting');
  connection.stop();
  end();
  assert.equal(page.listeners, 0);
  assert.equal(world.timers.size, 0);
});
