import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startDeployment } from './deployment.ts';

test('batches are answered in their order, also where one is known and the next is new', async (t) => {
  const server = await startDeployment(t);
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const known = device.write({ pk: [1], set: { a: 1 } });
  await client.apply(known);
  for (let i = 0; i < 20; i++) {
    const fresh = device.write({ pk: [i + 2], set: { a: 1 } });
    client.send({ type: 'apply_changes', changes: [known], requestId: `known ${i}` });
    client.send({ type: 'apply_changes', changes: [fresh], requestId: `fresh ${i}` });
    const first = await client.next('apply_result');
    const second = await client.next('apply_result');
    assert.deepEqual([first.requestId, second.requestId], [`known ${i}`, `fresh ${i}`]);
  }
});

test('what is sent behind a long message takes effect after it, and others need not wait', async (t) => {
  const server = await startDeployment(t);
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const other = await TestClient.join(server.wsUrl, new Device(2), t);
  const writes = Array.from({ length: 20_000 }, (_, i) => ({ pk: [i], set: { a: i } }));
  client.send({ type: 'apply_changes', changes: [device.write(...writes)], requestId: 'long' });
  const again = device.write({ pk: [0], set: { a: 'later' } });
  client.send({ type: 'apply_changes', changes: [again], requestId: 'short' });
  client.send({ type: 'ping' });
  other.send({ type: 'ping' });
  await other.next('pong');
  const { requestId, applied } = await client.next('apply_result');
  assert.deepEqual([requestId, applied], ['long', 20_000]);
  assert.equal((await client.next('apply_result')).requestId, 'short');
  const [pushed] = await other.nextPush();
  assert.equal(pushed?.changes.length, 20_000);
});
