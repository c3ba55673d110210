/** Who tries credentials one after the other is seen, and slowed down; the others are not. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import debug from 'debug';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { aMoment } from '../support/moment.ts';
import { startServer, type TestServer, temporaryDirectory } from '../support/server.ts';

const MINUTE_MS = 60_000;

/** Lets in who says `good`, and counts how often it was asked. */
async function start(
  t: TestContext,
  limits: CoordinatorConfigInput['limits'],
  isGood: (token: string) => boolean = (token) => token === 'good',
) {
  const asked: string[] = [];
  const hooks: CoordinatorHooks = {
    onAuthenticate({ token = '', siteId = new Uint8Array(16) }) {
      asked.push(token);
      if (!isGood(token)) throw new Error('no');
      return { siteId, userId: 'ann' };
    },
  };
  const server = await startServer(t, { config: { storage: 'memory:', limits }, hooks });
  // What has failed is forgotten as time goes by, also by a slow machine's.
  server.clock.stop();
  return { server, asked };
}

async function overHttp({ httpUrl }: TestServer, token: string, { siteId }: Device, headers = {}) {
  const authorization = `Bearer ${token}`;
  const all = { 'x-site-id': siteId, authorization, ...headers };
  const response = await fetch(`${httpUrl}/changes`, { headers: all });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { code: error?.code, retryAfter: Number(response.headers.get('retry-after')) };
}

async function overWebSocket({ wsUrl }: TestServer, token: string, { siteId }: Device) {
  const client = await TestClient.open(wsUrl);
  client.send({ type: 'handshake', siteId, token });
  const { code, fatal, retryAfterMs } = await client.nextWhere(() => true);
  client.socket.terminate();
  return { code, fatal, retryAfterMs };
}

test('guesses are not even looked at beyond the limit, whatever sites they come under', async (t) => {
  const { server, asked } = await start(t, { failedLoginsPerMinute: 20 });
  const codes = new Set<unknown>();
  for (let i = 0; i < 50; i++) {
    const ask = i % 2 === 0 ? overHttp : overWebSocket;
    codes.add((await ask(server, `guess ${i}`, new Device(100 + i))).code);
  }
  assert.deepEqual([...codes], ['AUTH_FAILED', 'RATE_LIMITED']);
  assert.equal(asked.length, 20);
  const { retryAfter } = await overHttp(server, 'good', new Device(1));
  assert.ok(retryAfter >= 1);
  const told = await overWebSocket(server, 'good', new Device(1));
  assert.deepEqual([told.code, told.fatal], ['RATE_LIMITED', false]);
  server.clock.advance(MINUTE_MS / 20);
  assert.equal((await overHttp(server, 'good', new Device(1))).code, undefined);
  const text = await server.service.metrics.registry.metrics();
  assert.match(text, /^sync_auth_failures_total\{transport="http",code="AUTH_FAILED"\} 10$/m);
  assert.match(text, /^sync_auth_failures_total\{transport="websocket",code="RATE_LIMITED"\} 16$/m);
});

test('credentials that were let in from there are heard meanwhile, until they fail themselves', async (t) => {
  const good = new Set(['good', 'newer']);
  const { server } = await start(t, { failedLoginsPerMinute: 20 }, (token) => good.has(token));
  const device = new Device(1);
  await TestClient.join(server.wsUrl, { ...device, token: 'good' }, t);
  for (let i = 0; i < 50; i++) await overHttp(server, 'guess', new Device(100 + i));
  for (let i = 0; i < 50; i++) await overHttp(server, `guess ${i}`, new Device(100));
  assert.equal((await overHttp(server, 'newer', new Device(2))).code, 'RATE_LIMITED');
  assert.equal((await overHttp(server, 'good', device)).code, undefined);
  assert.equal((await overWebSocket(server, 'good', device)).code, undefined);
  good.clear();
  assert.equal((await overHttp(server, 'good', device)).code, 'AUTH_FAILED');
  assert.equal((await overHttp(server, 'good', device)).code, 'RATE_LIMITED');
});

test('failures in the name of a device keep neither it out nor its session from newer credentials', async (t) => {
  const { server, asked } = await start(t, { failedLoginsPerMinute: 20 }, (token) =>
    ['good', 'newer'].includes(token),
  );
  const device = new Device(1);
  const session = await TestClient.join(server.wsUrl, { ...device, token: 'good' }, t);
  for (let i = 0; i < 9; i++) await overHttp(server, `guess ${i}`, device);
  for (let i = 0; i < 9; i++) await overWebSocket(server, `other guess ${i}`, device);
  // Whoever has failed often under its site has used up nothing of its own,
  assert.equal((await overHttp(server, 'newer', device)).code, undefined);
  for (let i = 0; i < 50; i++) await overHttp(server, `another ${i}`, device);
  assert.equal(asked.length, 22);
  // nor has who has filled the address.
  assert.equal((await overHttp(server, 'good', device)).code, undefined);
  assert.equal((await overWebSocket(server, 'good', device)).code, undefined);
  session.send({ type: 'authenticate', token: 'newer' });
  await session.next('authenticated');
});

test('a session is no leave to guess, and only who is looked at can lose it', async (t) => {
  const { server, asked } = await start(t, { failedLoginsPerMinute: 20 });
  const device = new Device(1);
  const join = () => TestClient.join(server.wsUrl, { ...device, token: 'good' }, t);
  for (let i = 0; i < 2; i++) {
    const session = await join();
    session.send({ type: 'authenticate', token: `guess ${i}` });
    assert.equal((await session.next('error')).code, 'AUTH_FAILED');
  }
  const session = await join();
  session.send({ type: 'authenticate', token: 'guess', requestId: 'r' });
  const { code, fatal, requestId } = await session.next('error');
  assert.deepEqual([code, fatal, requestId], ['RATE_LIMITED', false, 'r']);
  assert.ok(!asked.includes('guess'));
  await session.changesSince();
});

/** Has nobody answered before `answer` is called. */
async function startSlow(t: TestContext) {
  const asked: string[] = [];
  let answer = () => {};
  const mayAnswer = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      limits: { failedLoginsPerMinute: 20 },
      hooks: { timeoutMs: 60_000, modules: [] },
    },
    hooks: {
      async onAuthenticate({ token = '', siteId = new Uint8Array(16) }) {
        asked.push(token);
        await mayAnswer;
        return token.startsWith('good') ? { siteId, userId: token } : undefined;
      },
    },
  });
  server.clock.stop();
  return { server, asked, answer: () => answer() };
}

function leaveHttp({ httpUrl }: TestServer, token: string, { siteId }: Device): () => void {
  const leave = new AbortController();
  const headers = { 'x-site-id': siteId, authorization: `Bearer ${token}` };
  fetch(`${httpUrl}/changes`, { headers, signal: leave.signal }).catch(() => undefined);
  return () => leave.abort();
}

async function leaveWebSocket({ wsUrl }: TestServer, token: string, { siteId }: Device) {
  const client = await TestClient.open(wsUrl);
  client.send({ type: 'handshake', siteId, token });
  return () => client.socket.terminate();
}

/** Asks all at once, and has nobody answered before all have come. */
async function askAtOnce(t: TestContext, tokens: readonly string[]) {
  const { server, asked, answer } = await startSlow(t);
  const { service } = server;
  let arrived = 0;
  const authenticate = service.admission.authenticate.bind(service.admission);
  const askedFirst = new Promise<number>((resolve) => {
    service.admission.authenticate = (...args) => {
      const identity = authenticate(...args);
      if (++arrived === tokens.length) setImmediate(() => resolve(asked.length));
      return identity;
    };
  });
  const answers = tokens.map((token, i) => {
    const ask = i % 2 === 0 ? overHttp : overWebSocket;
    return ask(server, token, new Device(100 + i));
  });
  const first = await askedFirst;
  answer();
  const codes = (await Promise.all(answers)).map(({ code }) => code ?? 'let in');
  const count = (code: string) => codes.filter((other) => other === code).length;
  return { first, asked: asked.length, count };
}

test('guesses at once are not looked at beyond the limit either', async (t) => {
  const guesses = Array.from({ length: 60 }, (_, i) => `guess ${i}`);
  const { first, asked, count } = await askAtOnce(t, guesses);
  assert.deepEqual([first, asked], [20, 20]);
  assert.deepEqual([count('AUTH_FAILED'), count('RATE_LIMITED')], [20, 40]);
});

test('as many as come at once with good credentials are all let in', async (t) => {
  const tokens = Array.from({ length: 60 }, (_, i) => `good ${i % 40}`);
  const { first, count } = await askAtOnce(t, tokens);
  assert.equal(first, 20);
  assert.equal(count('let in'), 60);
});

for (const transport of ['http', 'websocket'] as const) {
  test(`over ${transport} a guess that hangs up keeps its place, is counted and told`, async (t) => {
    const { server, asked, answer } = await startSlow(t);
    const { admission } = server.service;
    const until = async (isSo: () => boolean | undefined) => {
      while (!isSo()) {
        t.signal.throwIfAborted();
        await aMoment();
      }
    };
    const signals: (AbortSignal | undefined)[] = [];
    const authenticate = admission.authenticate.bind(admission);
    admission.authenticate = (request, signal) => {
      signals.push(signal);
      return authenticate(request, signal);
    };
    for (let i = 0; i < 60; i++) {
      const device = new Device(100 + i);
      const hangUp =
        transport === 'http'
          ? leaveHttp(server, `guess ${i}`, device)
          : await leaveWebSocket(server, `guess ${i}`, device);
      await until(() => signals.length > i);
      hangUp();
      await until(() => signals[i]?.aborted);
    }
    assert.equal(asked.length, 20, 'no place is free while the hooks look at a guess');
    const { failures } = admission.loginCounts[transport];
    let said = '';
    debug.enable('sync-coordinator:auth:warn');
    t.after(() => debug.disable());
    t.mock.method(process.stderr, 'write', (text: string | Uint8Array) => {
      said += text;
      return true;
    });
    answer();
    await until(() => failures.get('AUTH_FAILED') === 20);
    assert.equal((await overHttp(server, 'good', new Device(1))).code, 'RATE_LIMITED');
    assert.equal((await overWebSocket(server, 'good', new Device(1))).code, 'RATE_LIMITED');
    assert.equal(asked.length, 20);
    assert.match(said, new RegExp(`refused ${transport} login: AUTH_FAILED; from 127.0.0.1`));
  });
}

test('one device with an old token leaves the others room', async (t) => {
  const { server, asked } = await start(t, { failedLoginsPerMinute: 20 });
  for (let i = 0; i < 50; i++) await overHttp(server, 'old', new Device(1));
  assert.equal(asked.length, 2);
  assert.equal((await overHttp(server, 'good', new Device(2))).code, undefined);
});

test('credentials that have run out, or that nobody can check, are no guesses', async (t) => {
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      limits: { failedLoginsPerMinute: 1 },
      hooks: { timeoutMs: 50, modules: [] },
    },
    hooks: {
      onAuthenticate({ token, siteId = new Uint8Array(16) }) {
        if (token === 'late') return new Promise(() => undefined);
        return { siteId, expiresAt: token === 'past' ? 1 : 4e12 };
      },
    },
  });
  for (let i = 0; i < 5; i++) {
    assert.equal((await overHttp(server, 'past', new Device(1))).code, 'AUTH_EXPIRED');
    assert.equal((await overHttp(server, 'late', new Device(1))).code, 'HOOK_FAILED');
  }
  assert.equal((await overHttp(server, 'good', new Device(1))).code, undefined);
});

test('behind a proxy that is not trusted others have ten times the room, and no more', async (t) => {
  const { server, asked } = await start(t, { failedLoginsPerMinute: 20 });
  const headers = { 'x-forwarded-for': '203.0.113.7' };
  for (let i = 0; i < 50; i++) await overHttp(server, `first ${i}`, new Device(100 + i), headers);
  assert.equal((await overHttp(server, 'good', new Device(1), headers)).code, undefined);
  for (let i = 0; i < 200; i++) await overHttp(server, `guess ${i}`, new Device(100 + i), headers);
  // What was good is heard meanwhile.
  assert.equal((await overHttp(server, 'good', new Device(2), headers)).code, undefined);
  assert.equal(asked.length, 202);
});

const HOOKS = {
  'invited.mjs': `export default {
  onAuthenticate: ({ token = '', siteId }) =>
    token.startsWith('invited') ? { siteId, userId: token.slice(0, 9) } : undefined,
  onAuthorize: (client, { type }) => client.userId !== 'invited-2' || type !== 'get_snapshot',
  onClientConnect: (client) => client.userId !== 'invited-3',
};`,
  'strict.mjs': `export default {
  onAuthenticate({ token, siteId }) {
    if (token === 'expired') return { siteId, userId: 'ann', expiresAt: 1 };
    throw new Error('no such token\\n2026-01-01 forged: ' + token);
  },
};`,
};

test('each refusal is a line that says who, where from and why, and a flood of them is counted', async (t) => {
  const dataDir = temporaryDirectory();
  for (const [name, text] of Object.entries(HOOKS)) writeFileSync(join(dataDir, name), text);
  const env = {
    SYNC_AUTH_MODE: 'token-whitelist',
    SYNC_AUTH_TOKENS: 'zebra',
    SYNC_HOOKS: './invited.mjs,./strict.mjs',
  };
  const server = await startChildServer(t, { dataDir, env });
  const device = new Device(1);
  const from = 'from 127.0.0.1';
  const site = `site ${device.siteId}; database default`;
  const http = (token: string, path = '/changes') =>
    fetch(`${server.httpUrl}${path}`, {
      headers: { 'x-site-id': device.siteId, authorization: `Bearer ${token}` },
    });
  const shake = async (token: string) => {
    const client = await TestClient.open(server.wsUrl);
    client.send({ type: 'handshake', siteId: device.siteId, token });
    await client.nextWhere(() => true);
    return client;
  };
  const forged = String.raw`"no such token\n2026-01-01 forged: [token]"`;
  const why = `token-whitelist: passed; ./invited.mjs: passed; ./strict.mjs: ${forged}`;
  await http('guess-1');
  (await shake('guess-2')).socket.terminate();
  const session = await shake('invited-1');
  session.send({ type: 'authenticate', token: 'guess-3' });
  await session.closed;
  const other = await shake('invited-1');
  other.send({ type: 'authenticate', token: 'invited-2' });
  await other.closed;
  await http('expired');
  await http('invited-2', '/snapshot');
  (await shake('invited-3')).socket.terminate();
  await fetch(`${server.httpUrl}/changes`);
  for (let i = 0; i < 60; i++) await http('guess-4');
  await server.kill('SIGTERM');
  const output = server.output();
  const lines = output.split('\n').filter((line) => line.includes('sync-coordinator:auth'));
  const said = lines.map((line) => line.replace(/^.*sync-coordinator:auth:(\w+) /, '$1 '));
  assert.deepEqual(said.slice(0, 8), [
    `warn refused http login: AUTH_FAILED; ${from}; ${site}; ${why}`,
    `warn refused websocket login: AUTH_FAILED; ${from}; ${site}; ${why}`,
    `warn refused websocket login: AUTH_FAILED; ${from}; ${site}; ${why}`,
    `warn refused websocket login: AUTH_FAILED; ${from}; user invited-2; ${site}; token-whitelist: passed; "the credentials are of another user"`,
    `warn refused http login: AUTH_EXPIRED; ${from}; user ann; ${site}; token-whitelist: passed; ./invited.mjs: passed; "the credentials have expired"`,
    `warn refused request: NOT_AUTHORIZED; ${from}; user invited-2; ${site}; ./invited.mjs: "not allowed"`,
    `warn refused websocket session: NOT_AUTHORIZED; ${from}; user invited-3; ${site}; ./invited.mjs: "not allowed"`,
    'warn refused http login: NOT_AUTHENTICATED; from 127.0.0.1; database default; "X-Site-Id is required"',
  ]);
  assert.deepEqual(said.slice(10), ['warn from 127.0.0.1: 58 more were refused within a minute']);
  assert.doesNotMatch(output, /guess|zebra/);
  assert.doesNotMatch(output, /^2026-01-01 forged/m);
});
