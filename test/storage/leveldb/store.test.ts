import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ClassicLevel } from 'classic-level';
import { createLevelStore, type Level } from '../../../src/storage/leveldb/store.ts';
import { createWriteQueue } from '../../../src/storage/write-queue.ts';

const KIB = 1024;

test('an open store holds no more than its write buffer, however long its last commit was', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'sync-level-'));
  t.after(() => rm(directory, { recursive: true }));
  const writeBufferSize = 64 * KIB;
  const level: Level = new ClassicLevel(directory, {
    ...{ keyEncoding: 'view', valueEncoding: 'view', cacheSize: 0, writeBufferSize },
  });
  await level.open();
  const store = createLevelStore(level, {
    ...{ sync: false, writeBufferSize, flushing: createWriteQueue() },
    ...{
      reclaiming: createWriteQueue(),
      flushOnClose: (flush) => flush(),
      loss: () => undefined,
      look: () => undefined,
      close: () => level.close(),
    },
  });
  const heldBytes = () => Number(level.getProperty('leveldb.approximate-memory-usage'));
  const write = (bytes: number) =>
    store.exclusive(async ({ put }) => put(Buffer.of(1), Buffer.alloc(bytes, 'x')));
  await write(KIB);
  await write(1024 * KIB);
  assert.ok(heldBytes() > 0);
  while (heldBytes() > 2 * writeBufferSize) {
    t.signal.throwIfAborted();
    await new Promise(setImmediate);
  }
  // Closing waits for a flush that is under way, and passes over one that is not.
  await Promise.all([write(1024 * KIB), write(1024 * KIB), store.close()]);
});
