import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

const BIG = 'x'.repeat(100_000);

test('a full disk refuses with a code, loses nothing acknowledged, and the database recovers', async (t) => {
  const dataDir = temporaryDirectory();
  // No file may grow beyond 1 or 2 MiB (shells differ in the unit): to the store, a full disk.
  const server = await startChildServer(t, { dataDir, before: 'ulimit -f 2048;' });
  const device = new Device(1);
  const writer = await TestClient.join(server.wsUrl, device, t);
  const elsewhere = await TestClient.join(
    server.wsUrl,
    { siteId: new Device(3).siteId, databaseId: 'other' },
    t,
  );

  const acknowledged: string[] = [];
  let refusal: Record<string, unknown> | undefined;
  while (refusal === undefined) {
    const changeSet = device.write({ pk: [acknowledged.length], set: { text: BIG } });
    const answer = await writer.apply(changeSet);
    if (answer.type === 'apply_result') acknowledged.push(changeSet.transactionId);
    else refusal = answer;
    assert.ok(acknowledged.length < 1000, 'the limit was never met');
  }
  assert.deepEqual([refusal.code, refusal.fatal], ['STORE_UNAVAILABLE', false]);
  assert.equal((await writer.closed).code, 1013, 'the session is told to come back');

  // Nobody else noticed, and who comes back is served.
  await elsewhere.settled();
  assert.equal((await elsewhere.apply(new Device(3).write({ pk: [1], set: { a: 1 } }))).applied, 1);
  const again = await TestClient.join(server.wsUrl, device, t);
  const small = device.write({ pk: ['small'], set: { text: 'fits' } });
  assert.equal((await again.apply(small)).applied, 1);
  acknowledged.push(small.transactionId);

  const reader = await TestClient.join(server.wsUrl, new Device(2), t);
  const stored = new Set((await reader.changesSince()).map((set) => set.transactionId));
  assert.deepEqual(
    acknowledged.filter((id) => !stored.has(id)),
    [],
  );
});
