/** What waits in memory for a client that does not read. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';

const MIB = 1024 * 1024;

test('a client that does not read is told what it lost against, without the values', async (t) => {
  const limits = { queuedBytesPerSocket: 64 * MIB };
  const { wsUrl, service } = await startServer(t, { config: { storage: 'memory:', limits } });
  const [loser, winner] = [new Device(1), new Device(2, new Device(1).wallTime + 10_000)];
  const anna = await TestClient.join(wsUrl, winner, t);
  const ben = await TestClient.join(wsUrl, loser, t);
  const lost = (row: number) =>
    loser.write({ pk: ['cell'], set: { a: 'mine' } }, { pk: [row], set: { a: 1 } });
  await anna.apply(winner.write({ pk: ['cell'], set: { a: 'theirs' } }));
  const reading = await ben.apply(lost(1));
  const [cell] = reading.conflicting as { value?: unknown; hlc: string }[];
  assert.equal(cell?.value, 'theirs');

  ben.socket.pause();
  const long = Array.from({ length: 16 }, (_, i) => ({ pk: [i], set: { b: 'x'.repeat(MIB) } }));
  await anna.apply(winner.write(...long));
  ben.send({ type: 'get_changes' });
  while (service.queuedBytes() < MIB) await aMoment();
  ben.send({ type: 'apply_changes', changes: [lost(2)], requestId: 'behind' });
  const isOfRow2 = (message: unknown) => JSON.stringify(message).includes('"pk":[2]');
  await anna.nextWhere((message) => message.type === 'push_changes' && isOfRow2(message));
  ben.socket.resume();
  const behind = await ben.nextWhere(({ requestId }) => requestId === 'behind');
  const { value: _, ...named } = cell ?? {};
  assert.deepEqual(behind.conflicting, [named]);
});
