import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine, takeSnapshot } from '../../support/engine.ts';

test('rows that are yet to be moved to another table may be pushed back meanwhile', async () => {
  const { manager } = await openEngine({ stepRows: 2 });
  const late = new Device(2);
  const author = new Device(1, late.wallTime + 1000);
  const rows = Array.from({ length: 20 }, (_, i) => ({ table: 'big', pk: [i], set: { a: i } }));
  const written = author.write(...rows);
  await manager.apply([late.migrate('create_table', 'big'), written]);
  const ended = late.migrate('drop_table', 'big', { schemaVersion: 2 });
  const again = late.migrate('create_table', 'big', { schemaVersion: 3 });
  const sender = new Sender(new Device(3).siteId, 'known');
  // In one transaction, which moves the first rows only.
  const [, pushedBack] = await Promise.all([
    manager.apply([ended, again]),
    manager.apply([written], { sender }),
  ]);
  assert.deepEqual([pushedBack.applied, pushedBack.skipped], [0, rows.length]);
  const forged = await manager.apply([author.write({ pk: [1], set: { a: 1 } })], { sender });
  assert.deepEqual(
    forged.unapplied.map(({ outcome }) => outcome),
    ['foreign'],
  );
  await manager.maintain();
  assert.match(JSON.stringify(await takeSnapshot(manager)), /"entriesWritten":20/);
});
