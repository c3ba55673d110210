import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

test('two clients exchange edits live, and a third bootstraps from a snapshot', async (t) => {
  const server = await startServer(t);
  const [a, b, c] = [new Device(1), new Device(2, 1_700_000_001_000), new Device(3)];
  const anna = await TestClient.join(server.wsUrl, a, t);
  const ben = await TestClient.join(server.wsUrl, b, t);
  assert.deepEqual(await anna.changesSince(), []);

  const created = a.migrate('create_table', 't');
  const inserted = a.write({ pk: [1], set: { id: 1, note: 'hello' } });
  const result = await anna.apply(created, inserted);
  assert.deepEqual(
    [result.type, result.applied, result.skipped, result.conflicts, result.transactions],
    ['apply_result', 3, 0, 0, 2],
  );
  const pushed = await ben.nextPush();
  assert.deepEqual(
    pushed.map(({ transactionId }) => transactionId),
    [created.transactionId, inserted.transactionId],
  );
  assert.deepEqual(pushed[1]?.changes, inserted.changes);

  await ben.apply(
    b.write({ pk: [1], set: { note: 'changed' } }),
    b.write({ pk: [2], delete: true }),
  );
  assert.equal((await anna.nextPush()).length, 2);

  const carla = await TestClient.join(server.wsUrl, c, t);
  const chunks = await carla.snapshot();
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [
      'header',
      'schema-migration',
      'table-start',
      'column-versions',
      'table-end',
      'tombstone',
      'footer',
    ],
  );
  assert.deepEqual(await carla.changesSince(chunks[0]?.hlc as string), []);
});
