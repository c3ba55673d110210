/** Who tries credentials one after the other is seen, and slowed down; the others are not. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { startServer, type TestServer, temporaryDirectory } from '../support/server.ts';

const MINUTE_MS = 60_000;

/** Lets in who says `good`, and counts how often it was asked. */
async function start(t: TestContext, limits: CoordinatorConfigInput['limits']) {
  const asked: string[] = [];
  const hooks: CoordinatorHooks = {
    onAuthenticate({ token = '', siteId = new Uint8Array(16) }) {
      asked.push(token);
      if (token !== 'good') throw new Error('no');
      return { siteId, userId: 'ann' };
    },
  };
  const server = await startServer(t, { config: { storage: 'memory:', limits }, hooks });
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

test('a device that was let in from there comes back meanwhile, until it fails itself', async (t) => {
  const { server } = await start(t, { failedLoginsPerMinute: 20 });
  const device = new Device(1);
  const session = await TestClient.join(server.wsUrl, { ...device, token: 'good' }, t);
  for (let i = 0; i < 50; i++) await overHttp(server, 'guess', new Device(100 + i));
  assert.equal((await overHttp(server, 'good', new Device(2))).code, 'RATE_LIMITED');
  assert.equal((await overHttp(server, 'good', device)).code, undefined);
  assert.equal((await overWebSocket(server, 'good', device)).code, undefined);
  session.send({ type: 'authenticate', token: 'good' });
  await session.next('authenticated');
  // Having been let in once is no leave to guess.
  assert.equal((await overHttp(server, 'guess', device)).code, 'AUTH_FAILED');
  assert.equal((await overHttp(server, 'guess', device)).code, 'RATE_LIMITED');
  // And what nobody has looked at does not end a session.
  session.send({ type: 'authenticate', token: 'guess', requestId: 'r' });
  const { code, fatal, requestId } = await session.next('error');
  assert.deepEqual([code, fatal, requestId], ['RATE_LIMITED', false, 'r']);
  await session.changesSince();
});

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

test('behind a proxy that is not trusted nobody pays for what others do', async (t) => {
  const { server } = await start(t, { failedLoginsPerMinute: 20 });
  const headers = { 'x-forwarded-for': '203.0.113.7' };
  for (let i = 0; i < 50; i++) await overHttp(server, 'guess', new Device(100 + i), headers);
  assert.equal((await overHttp(server, 'good', new Device(1), headers)).code, undefined);
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
  const site = `site ${device.siteId}; database default; from 127.0.0.1`;
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
  const why = 'token-whitelist: passed; ./invited.mjs: passed; ./strict.mjs: no such token';
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
  const forged = '\\u000a2026-01-01 forged: [token]';
  assert.deepEqual(said.slice(0, 8), [
    `warn refused http login: AUTH_FAILED; ${site}; ${why}${forged}`,
    `warn refused websocket login: AUTH_FAILED; ${site}; ${why}${forged}`,
    `warn refused websocket login: AUTH_FAILED; ${site}; ${why}${forged}`,
    `warn refused websocket login: AUTH_FAILED; user invited-2; ${site}; token-whitelist: passed; the credentials are of another user`,
    `warn refused http login: AUTH_EXPIRED; user ann; ${site}; token-whitelist: passed; ./invited.mjs: passed; the credentials have run out`,
    `warn refused request: NOT_AUTHORIZED; user invited-2; ${site}; ./invited.mjs: not allowed`,
    `warn refused websocket session: NOT_AUTHORIZED; user invited-3; ${site}; ./invited.mjs: not allowed`,
    'warn refused http login: NOT_AUTHENTICATED; database default; from 127.0.0.1; X-Site-Id is required',
  ]);
  assert.deepEqual(said.slice(10), ['warn from 127.0.0.1: 58 more were refused within a minute']);
  assert.doesNotMatch(output, /guess|zebra/);
  assert.doesNotMatch(output, /^2026-01-01 forged/m);
});
