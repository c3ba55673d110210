/** Whose word is taken for where a client comes from: nobody's, unless `trustProxy` names the proxy. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config/resolve-config.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

const FORWARDED = { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' };

/** The addresses that hooks see, over HTTP and over WebSocket. */
async function addressesSeen(
  t: TestContext,
  config: CoordinatorConfigInput,
  forwarded: Record<string, string> = FORWARDED,
) {
  const seen: (string | undefined)[] = [];
  const server = await startServer(t, {
    config: { storage: 'memory:', ...config },
    hooks: {
      onAuthenticate({ siteId, remoteAddress }) {
        seen.push(remoteAddress);
        return { siteId: siteId ?? new Uint8Array(16) };
      },
    },
  });
  const device = new Device(1);
  const headers = { ...forwarded, 'x-site-id': device.siteId };
  assert.equal((await fetch(`${server.httpUrl}/changes`, { headers })).status, 200);
  const client = await TestClient.open(server.wsUrl, { headers: forwarded });
  t.after(() => client.socket.terminate());
  client.send({ type: 'handshake', siteId: device.siteId });
  await client.next('handshake_ack');
  return seen;
}

const CASES: [CoordinatorConfigInput['trustProxy'], string][] = [
  [undefined, '127.0.0.1'],
  [['10.0.0.1', '192.168.0.0/16'], '127.0.0.1'],
  ['loopback', '198.51.100.7'],
  [['127.0.0.0/8', '198.51.100.7'], '203.0.113.9'],
  [true, '203.0.113.9'],
];

for (const [trustProxy, address] of CASES) {
  test(`trustProxy ${JSON.stringify(trustProxy) ?? 'by default'}: hooks see ${address} over both transports`, async (t) => {
    assert.deepEqual(await addressesSeen(t, { trustProxy }), [address, address]);
  });
}

for (const mapped of ['::ffff:198.51.100.7', '::FFFF:c633:6407']) {
  test(`an address of IPv4 is seen as one, where it comes as ${mapped}`, async (t) => {
    const seen = await addressesSeen(t, { trustProxy: 'loopback' }, { 'x-forwarded-for': mapped });
    assert.deepEqual(seen, ['198.51.100.7', '198.51.100.7']);
  });
}

test('hooks see an address without the port that a proxy has added', async (t) => {
  for (const [named, address] of [
    ['198.51.100.7:4711', '198.51.100.7'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
  ] as const) {
    const seen = await addressesSeen(t, { trustProxy: 'loopback' }, { 'x-forwarded-for': named });
    assert.deepEqual(seen, [address, address]);
  }
});

for (const trustProxy of [
  'proxy.example',
  '10.0.0.0/33',
  '10.0.0.0/',
  '::1/129',
  ['10.0.0.1', '1'],
]) {
  test(`trustProxy ${JSON.stringify(trustProxy)} is refused, and the fault named`, () => {
    assert.throws(
      () => loadConfig({ cwd: import.meta.dirname, env: {}, overrides: { trustProxy } }),
      /override: trustProxy was "?[^,]+"?, may be true, false, an address/,
    );
  });
}

test('trustProxy is read from the environment and from flags', () => {
  const cwd = import.meta.dirname;
  const env = { SYNC_TRUST_PROXY: '10.0.0.1, loopback' };
  assert.deepEqual(loadConfig({ cwd, env }).trustProxy, ['10.0.0.1', 'loopback']);
  const flags = { '--trust-proxy': 'true' };
  assert.equal(loadConfig({ cwd, env, flags }).trustProxy, true);
});
