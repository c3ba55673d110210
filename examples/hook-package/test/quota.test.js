import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertApproved,
  assertConverged,
  assertRejected,
  hookModuleContract,
  startCoordinator,
} from 'sync-coordinator/testing';
import quota from '../index.js';

hookModuleContract({
  module: quota,
  options: { table: 'tasks', rowsMax: 1 },
  transactions: [
    [{ table: 'tasks', pk: [1], set: { title: 'one' } }],
    [{ table: 'tasks', pk: [1], set: { title: 'still one' } }],
    [{ table: 'tasks', pk: [2], set: { title: 'too many' } }],
    [{ table: 'tasks', pk: [1], delete: true }],
    [{ table: 'tasks', pk: [3], set: { title: 'there is room' } }],
  ],
});

test('a table takes so many rows, and no more', async (t) => {
  const coordinator = await startCoordinator(t, {
    config: {
      hooks: { modules: [[quota, { table: 'tasks', rowsMax: 2 }]], onReject: 'revert' },
    },
  });
  const [ann, ben] = [await coordinator.device(), await coordinator.device()];
  assertApproved(await ann.write('tasks', [1], { title: 'one', done: false }));
  assertApproved(await ann.write('tasks', [2], { title: 'two' }));
  assertRejected(await ann.write('tasks', [3], { title: 'three' }), { pk: [3], code: 'QUOTA' });
  assertApproved(await ben.write('tasks', [1], { done: true }));
  assertApproved(await ben.write('lists', [1], { title: 'another table' }));
  assertApproved(await ann.delete('tasks', [2]));
  assertApproved(await ben.write('tasks', [4], { title: 'four' }));
  await assertConverged(coordinator, [ann, ben]);
  assert.deepEqual(
    ben.rows('tasks').map(([pk]) => pk),
    [[1], [4]],
  );
});

test('devices that write at the same moment don’t overrun it together', async (t) => {
  const coordinator = await startCoordinator(t, {
    config: { hooks: [[quota, { table: 'tasks', rowsMax: 3 }]] },
  });
  const devices = await Promise.all(Array.from({ length: 5 }, () => coordinator.device()));
  const verdicts = await Promise.all(
    devices.flatMap((device, i) => [
      device.write('tasks', [2 * i], { title: 'one' }),
      device.write('tasks', [2 * i + 1], { title: 'two' }),
    ]),
  );
  const accepted = verdicts.filter(({ state }) => state === 'acknowledged');
  assert.equal(accepted.length, 3);
  const [ann] = devices;
  assertRejected(await ann.write('TASKS', [99], { title: 'x' }), { code: 'SPELLING' });
});
