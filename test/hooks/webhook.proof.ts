/** The webhook in servers that are killed, or whose disk is full. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';
import { optionsFor, startEndpoint } from '../support/webhook-endpoint.ts';

test('killed at any moment: everything that was acknowledged is told', async (t) => {
  const endpoint = await startEndpoint(t);
  const dataDir = temporaryDirectory();
  const options = { ...optionsFor(endpoint.url), directory: join(dataDir, 'queue') };
  const hooks = [['sync-coordinator/hooks/webhook', options]];
  writeFileSync(join(dataDir, 'sync-coordinator.json'), JSON.stringify({ hooks }));
  const device = new Device(1);
  const acknowledged: string[] = [];
  for (let round = 0; round < 3; round++) {
    const server = await startChildServer(t, { dataDir });
    const client = await TestClient.join(server.wsUrl, { siteId: device.siteId }, t);
    for (let i = 0; i < 20; i++) {
      const changeSet = device.write({ pk: [device.wallTime], set: { x: i } });
      const answer = await client.apply(changeSet);
      assert.equal(answer.type, 'apply_result');
      acknowledged.push(changeSet.transactionId);
    }
    await server.kill('SIGKILL');
  }
  const last = await startChildServer(t, { dataDir });
  await endpoint.took((all) => new Set(all).size >= acknowledged.length);
  const told = new Set(
    endpoint.taken.flatMap(({ transactions }) => transactions.map((each) => each.transactionId)),
  );
  for (const id of acknowledged) assert.ok(told.has(id), id);
  await last.kill('SIGTERM');
});

test('a disk that was full for a while costs no event', async (t) => {
  const endpoint = await startEndpoint(t);
  const dataDir = temporaryDirectory();
  const options = { ...optionsFor(endpoint.url), directory: join(dataDir, 'queue') };
  const hooks = [['sync-coordinator/hooks/webhook', options]];
  writeFileSync(join(dataDir, 'sync-coordinator.json'), JSON.stringify({ hooks }));
  // No file may grow beyond 1 or 2 MiB: neither of the database nor of the queue.
  const server = await startChildServer(t, { dataDir, before: 'ulimit -f 2048;' });
  const device = new Device(1);
  const acknowledged: string[] = [];
  let refusals = 0;
  for (let i = 0; refusals < 3; i++) {
    const client = await TestClient.join(server.wsUrl, { siteId: device.siteId }, t);
    while (refusals < 3) {
      const text = 'x'.repeat(refusals === 0 ? 50_000 : 5000);
      const changeSet = device.write({ pk: [device.wallTime], set: { text } });
      const answer = await client.apply(changeSet).catch(() => ({ type: 'error' }));
      if (answer.type === 'error') {
        refusals++;
        break;
      }
      acknowledged.push(changeSet.transactionId);
      if (refusals > 0 && i > 2) refusals = 3;
    }
    assert.ok(i < 100, 'the limit was never met');
  }
  await endpoint.took((all) => new Set(all).size >= acknowledged.length);
  const told = new Set(
    endpoint.taken.flatMap(({ transactions }) => transactions.map((each) => each.transactionId)),
  );
  for (const id of acknowledged) assert.ok(told.has(id), id);
  await server.kill('SIGTERM');
});
