/** What hooks read of a log is read in the room that there is, one long change set after the other. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from '../../src/service/byte-budget.ts';
import { createDatabaseReader } from '../../src/service/database-reader.ts';
import { PageReads } from '../../src/service/page-reads.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { deferred } from '../hooks/support.ts';
import { openEngine } from '../support/engine.ts';

const LONG_BYTES = 1024 * 1024;
const READERS = 10;

test('of hooks that read a long change set at once, so many hold it as there is room for', async () => {
  const store = await createMemoryStorage().open('test');
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { text: 'x'.repeat(LONG_BYTES) } })]);
  await manager.apply([device.write({ pk: [2], set: { text: 'short' } })]);
  const total = { limit: 'limits.answerBytes' as const, bytes: 2.5 * 8 * LONG_BYTES };
  const budget = new ByteBudget({ total, perClient: total, onLimit: () => undefined });
  const reads = new PageReads();
  const reader = createDatabaseReader(
    async () => ({ manager, release: () => undefined }),
    async () => assert.fail('nothing is pinned'),
    { reads, reserve: (bytes) => budget.reserve('hooks', bytes) },
  );
  const gate = deferred();
  let holding = 0;
  let most = 0;
  const reading = Array.from({ length: READERS }, async () => {
    const pks: unknown[] = [];
    for await (const { changes } of reader.changes('test')) {
      for (const change of changes) pks.push(change.pk[0]);
      if (pks.length > 1) continue;
      most = Math.max(most, ++holding);
      await gate.promise;
      holding--;
    }
    return pks;
  });
  for (let i = 0; i < 200; i++) await new Promise(setImmediate);
  assert.equal(most, 2);
  assert.ok(budget.held <= total.bytes, `${budget.held} bytes are held`);
  gate.resolve();
  for (const pks of await Promise.all(reading)) assert.deepEqual(pks.map(Number), [1, 2]);
  assert.equal(most, 2);
  assert.equal(budget.held, 0);
});
