/** Clients that a proxy brings which is not trusted to say whose requests it passes on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holderOf } from '../../src/service/budgets/budget.ts';
import { Device, siteBytes } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

const WARNING = /passes requests on.*limits of one client: set trustProxy/g;

test('the log says once to set trustProxy, also where nobody has to log in', async (t) => {
  const counts = [];
  const cases: { args: string[]; header: Record<string, string> }[] = [
    { args: [], header: {} },
    { args: [], header: { 'x-forwarded-for': '203.0.113.7' } },
    { args: [], header: { forwarded: 'for=203.0.113.7' } },
    { args: ['--trust-proxy', 'loopback'], header: { 'x-forwarded-for': '203.0.113.7' } },
  ];
  for (const { args, header } of cases) {
    const dataDir = temporaryDirectory();
    const server = await startChildServer(t, { dataDir, args: ['--storage', 'memory:', ...args] });
    for (const number of [1, 2, 3]) {
      const headers = { 'x-site-id': new Device(number).siteId, ...header };
      assert.equal((await fetch(`${server.httpUrl}/changes`, { headers })).status, 200);
    }
    const { siteId } = new Device(4);
    await TestClient.join(server.wsUrl, { siteId }, t);
    await server.kill('SIGTERM');
    counts.push(server.output().match(WARNING)?.length ?? 0);
  }
  assert.deepEqual(counts, [0, 1, 1, 0]);
});

test('whom nobody has named is counted by address, whatever sites it says it is', () => {
  const [one, other] = [1, 2].map((number) =>
    holderOf({ siteId: siteBytes(number) }, '203.0.113.7'),
  );
  assert.equal(one, other);
});
