/** What must not get out: tokens in what a server says, and made-up lines in its log. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { rawRequest } from '../conformance/raw-http.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

const GOOD = 'zebra-good-token';
const BAD = 'zebra-bad-token';
const TOKEN = /zebra/;

test('tokens are in no log, error, metric or status; a name from outside stays on its line', async (t) => {
  const env = { DEBUG: '*', SYNC_AUTH_MODE: 'token-whitelist', SYNC_AUTH_TOKENS: GOOD };
  const server = await startChildServer(t, { dataDir: temporaryDirectory(), env });
  const { httpUrl, wsUrl } = server;
  const device = new Device(1);
  const site = { 'x-site-id': device.siteId };
  const said: string[] = [];
  const ask = async (path: string, headers: Record<string, string>, body?: string) => {
    const method = body === undefined ? 'GET' : 'POST';
    said.push((await rawRequest(httpUrl, { method, path, headers, body })).text);
  };
  for (const token of [GOOD, BAD]) {
    const authorization = `Bearer ${token}`;
    await ask('/sync/changes', { ...site, authorization });
    await ask('/sync/changes', { ...site, authorization: `Basic ${token}` });
    await ask('/sync/changes', { authorization });
    await ask('/sync/changes', { 'x-site-id': token });
    await ask(`/sync/changes?token=${token}&sinceHLC=${token}&limit=${token}`, site);
    await ask(`/sync/changes?sinceHLC=${token}`, { ...site, authorization });
    await ask(`/sync/nowhere/at/all?token=${token}`, { authorization });
    await ask('/sync/changes', { ...site, authorization }, '{"changes":1}');
    await ask('/sync/snapshot', { ...site, authorization }, '{"checkpoint":1}');
    for (const message of [
      { type: 'handshake', siteId: device.siteId, token },
      { type: 'handshake', siteId: device.siteId, token, databaseId: '../x' },
      { type: 'handshake', siteId: device.siteId, token, protocolVersion: 2 },
      { type: 'handshake', siteId: 'none', token },
      { type: 'handshake', siteId: device.siteId, token: [token] },
      { type: 'authenticate', token },
    ]) {
      const client = await TestClient.open(`${wsUrl}?token=${token}`);
      client.send(message);
      said.push(JSON.stringify(await client.nextWhere(() => true)));
      client.socket.terminate();
    }
  }
  const session = await TestClient.join(wsUrl, { siteId: device.siteId, token: GOOD }, t);
  session.send({ type: 'authenticate', token: BAD });
  said.push(JSON.stringify(await session.next('error')));
  await ask('/sync/a%0a2026-01-01%20forged%1b%5b2J%e2%80%a8/changes', site);
  await ask('/sync/status', {});
  await ask('/sync/metrics', {});
  await server.kill('SIGTERM');
  for (const text of [...said, server.output()]) assert.doesNotMatch(text, TOKEN);
  assert.match(server.output(), /AUTH_FAILED/, 'it does tell of refusals');
  assert.doesNotMatch(server.output(), /^2026-01-01 forged/m);
});
