import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFlushOnClose } from '../../../src/storage/leveldb/flush-on-close.ts';

/** Busy until `ms` have passed, as a write is that takes long. */
async function take(ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (performance.now() < until) await new Promise(setImmediate);
}

test('stores that close together are written out one after the other, until the time is up', async () => {
  const flushOnClose = createFlushOnClose(20);
  let running = 0;
  const written: number[] = [];
  const close = (store: number, ms: number) =>
    flushOnClose(async () => {
      assert.equal(++running, 1);
      await take(ms);
      written.push(store);
      running--;
    });
  await Promise.all([close(1, 0), close(2, 40), close(3, 0), close(4, 0)]);
  assert.deepEqual(written, [1, 2]);
  // Whoever closes later has the whole time again.
  await close(5, 0);
  assert.deepEqual(written, [1, 2, 5]);
});

test('a store that cannot be written out says so, and holds up no other', async () => {
  const flushOnClose = createFlushOnClose(Number.POSITIVE_INFINITY);
  const failing = flushOnClose(() => Promise.reject(new Error('disk')));
  let isWritten = false;
  const other = flushOnClose(async () => {
    isWritten = true;
  });
  await assert.rejects(failing, /disk/);
  await other;
  assert.ok(isWritten);
});
