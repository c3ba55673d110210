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

hookModuleContract({ module: quota, options: { table: 'tasks' } });

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
