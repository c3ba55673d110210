import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch } from '../../../src/engine/merge/batch.ts';
import { weightOf } from '../../../src/engine/merge/batch.ts';
import { GroupCommit } from '../../../src/engine/merge/group-commit.ts';
import { Device } from '../../../src/testing/device.ts';

const MIB = 1024 * 1024;

/** The sizes of the groups that batches go in, which all arrive together. */
async function groupsOf(batches: readonly Batch[]): Promise<number[]> {
  const sizes: number[] = [];
  const commits = new GroupCommit(
    async (group: readonly Batch[]) => {
      sizes.push(group.length);
      return group.map(() => 'stored');
    },
    weightOf,
    () => new Promise(setImmediate),
  );
  await Promise.all(batches.map((batch) => commits.add(batch)));
  return sizes;
}

const device = new Device(1);
const batchOf = (...writes: Parameters<Device['write']>): Batch => ({
  changeSets: [device.write(...writes)],
  answers: [],
  refused: [],
});

test('small batches that wait together are one group', async () => {
  const batches = Array.from({ length: 100 }, (_, i) => batchOf({ pk: [i], set: { a: 'text' } }));
  assert.deepEqual(await groupsOf(batches), [100]);
});

test('a group holds some megabytes, wherever in its changes they stand, or one batch', async () => {
  const large = 'x'.repeat(MIB);
  const batches = [
    batchOf({ pk: [1], set: { a: large } }),
    batchOf({ pk: [large], set: { a: 1 } }),
    batchOf({ pk: [1], set: { a: [{ [large]: null }] } }),
    { changeSets: [device.migrate('create_table', 't', { ddl: large })], answers: [], refused: [] },
    { changeSets: [], answers: [], refused: [device.write({ pk: [1], set: { a: large } })] },
    batchOf({ pk: [1], set: { a: large.repeat(32) } }),
    batchOf({ pk: [1], set: { a: 1 } }),
  ];
  assert.deepEqual(await groupsOf(batches), [3, 2, 1, 1]);
});
