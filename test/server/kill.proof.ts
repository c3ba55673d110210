import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

/** Acknowledgements after which the server is killed, while more are under way. */
const KILL_AFTER = [1, 40, 150];

test('kill -9 loses nothing that was acknowledged, and tears no transaction', async (t) => {
  const dataDir = temporaryDirectory();
  const device = new Device(1);
  const acknowledged = new Set<string>();
  const sizes = new Map<string, number>();

  for (const killAfter of KILL_AFTER) {
    const server = await startChildServer(t, { dataDir });
    const client = await TestClient.join(server.wsUrl, device, t);
    let answered = 0;
    const enough = new Promise<void>((resolve) => {
      const send = () => {
        const rows = (sizes.size % 7) + 1;
        const changeSet = device.write(
          ...Array.from({ length: rows }, (_, i) => ({ pk: [sizes.size, i], set: { n: i } })),
        );
        sizes.set(changeSet.transactionId, rows);
        client.apply(changeSet).then((answer: ReceivedMessage) => {
          assert.equal(answer.type, 'apply_result');
          acknowledged.add(changeSet.transactionId);
          if (++answered >= killAfter) resolve();
          send();
        }, resolve);
      };
      for (let i = 0; i < 8; i++) send();
    });
    await enough;
    await server.kill('SIGKILL');
    await client.closed;
  }

  const server = await startChildServer(t, { dataDir });
  const reader = await TestClient.join(server.wsUrl, new Device(2), t);
  const stored = await reader.changesSince();
  const storedIds = new Set(stored.map(({ transactionId }) => transactionId));
  const lost = [...acknowledged].filter((id) => !storedIds.has(id));
  assert.deepEqual(lost, []);
  assert.ok(acknowledged.size >= KILL_AFTER.reduce((sum, n) => sum + n, 0));
  for (const { transactionId, changes } of stored) {
    assert.equal(changes.length, sizes.get(transactionId), 'whole, or not at all');
  }
  const positions = stored.map(({ hlc }) => Buffer.from(hlc, 'base64').toString('latin1'));
  assert.deepEqual(positions, [...new Set(positions)].sort(), 'positions went on rising');
});
