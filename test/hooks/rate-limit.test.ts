import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Registry } from 'prom-client';
import { SyncError } from '../../src/errors/sync-error.ts';
import rateLimit, { type RateLimitOptions } from '../../src/hooks/builtin/rate-limit.ts';
import type { ClientIdentity, SyncOperation } from '../../src/hooks/types.ts';
import { LateReader } from '../../src/service/databases/database-reader.ts';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';
import { CLIENT, setUpModule, surroundings, testChain } from './support.ts';

const READ: SyncOperation = { type: 'get_changes', databaseId: 'db' };
const write = (changeCount: number): SyncOperation => ({
  type: 'apply_changes',
  databaseId: 'db',
  changeCount,
});

async function start(t: TestContext, options: RateLimitOptions) {
  // The window of the limits moves with a clock that stands still unless told.
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'] });
  const registry = new Registry();
  const around = surroundings(new LateReader(), registry);
  const { hooks } = await setUpModule(t, rateLimit, options, around);
  const chain = testChain([hooks], { timeoutMs: 60_000 });
  const ask = async (operation: SyncOperation, client: ClientIdentity = CLIENT) => {
    try {
      await chain.authorize(client, operation);
      return 0;
    } catch (error) {
      assert.ok(error instanceof SyncError && error.code === 'RATE_LIMITED', String(error));
      return error.retryAfterMs ?? assert.fail('it must say when');
    }
  };
  return { ask, registry };
}

test('so many operations pass, the next is told when to come back, and then passes', async (t) => {
  const { ask, registry } = await start(t, { operationsPerSecond: 2, burstSeconds: 3 });
  for (let i = 0; i < 6; i++) assert.equal(await ask(READ), 0);
  t.mock.timers.tick(1000);
  const retryAfterMs = await ask(READ);
  assert.equal(retryAfterMs, 2000);
  t.mock.timers.tick(retryAfterMs);
  assert.equal(await ask(READ), 0);
  const text = await registry.metrics();
  assert.match(text, /^sync_hook_rate_limit_refusals_total\{limit="operations"\} 1$/m);
});

test('every user has its own, whatever sites and databases it names', async (t) => {
  const { ask } = await start(t, { operationsPerSecond: 1, burstSeconds: 1 });
  const nobody = { siteId: new Uint8Array(16), databaseId: 'db' };
  const other = { siteId: new Uint8Array(16).fill(1), databaseId: 'other' };
  const at = (remoteAddress: string) => ({ ...nobody, remoteAddress });
  const distinct = [
    ...[CLIENT, { ...CLIENT, userId: 'ben' }],
    ...[at('203.0.113.7'), at('203.0.113.8'), at('2a01:4f8:1:2::1')],
    // Nobody knows where they are: then a site is all there is.
    ...[nobody, { ...other, databaseId: 'db' }],
    // Not one, whatever their names are made of.
    ...[{ ...CLIENT, userId: 'address 203.0.113.9' }, at('203.0.113.9')],
  ];
  for (const client of distinct) assert.equal(await ask(READ, client), 0);
  const again = [
    ...[CLIENT, { ...CLIENT, ...other }, { ...CLIENT, remoteAddress: '203.0.113.1' }],
    ...[
      { ...at('203.0.113.7'), ...other },
      { ...at('2a01:4f8:1:2:3::4'), ...other },
    ],
    { ...nobody, databaseId: 'other' },
  ];
  for (const client of again) assert.notEqual(await ask(READ, client), 0);
});

test('changes are counted by what a batch holds, and reads are not', async (t) => {
  const { ask } = await start(t, { changesPerSecond: 100, burstSeconds: 10 });
  assert.equal(await ask(write(600)), 0);
  assert.notEqual(await ask(write(600)), 0);
  assert.equal(await ask(READ), 0);
});

test('a change set counts for one at least, also in an empty batch', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:', hooks: [[rateLimit, { changesPerSecond: 1 }]] },
  });
  const device = new Device(1);
  const send = async (sets: number) => {
    const body = Array.from({ length: sets }, () => ({ ...device.write(), changes: [] }));
    const headers = { 'x-site-id': device.siteId, 'content-type': 'application/json' };
    const request = { method: 'POST', headers, body: JSON.stringify(body) };
    return (await fetch(`${server.httpUrl}/changes`, request)).status;
  };
  assert.equal(await send(10), 200);
  assert.equal(await send(1), 429);
  assert.equal(await send(0), 429);
});

test('a batch larger than everything passes now and then, on credit', async (t) => {
  const { ask } = await start(t, { changesPerSecond: 10, burstSeconds: 1 });
  assert.equal(await ask(write(50)), 0);
  assert.equal(await ask(write(1)), 5000, 'fifty changes are five seconds');
  t.mock.timers.tick(5000);
  assert.equal(await ask(write(1)), 0);
});

test('without a limit it limits nothing, so the start fails', async (t) => {
  await assert.rejects(setUpModule(t, rateLimit, {}), /operationsPerSecond or changesPerSecond/);
  await assert.rejects(setUpModule(t, rateLimit, { changesPerSecond: 0 }), /changesPerSecond/);
});

test('over the wire: 429 with Retry-After, and an error that says when', async (t) => {
  const hooks = [[rateLimit, { operationsPerSecond: 0.01, burstSeconds: 100 }]] as const;
  const server = await startServer(t, { config: { storage: 'memory:', hooks } });
  const { siteId } = new Device(1);
  const get = () => fetch(`${server.httpUrl}/changes`, { headers: { 'x-site-id': siteId } });
  assert.equal((await get()).status, 200);
  const refused = await get();
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 1);
  const { error } = (await refused.json()) as { error: { code: string; message: string } };
  assert.match(`${error.code}: ${error.message}`, /^RATE_LIMITED: more than 0\.01 operations/);
});
