import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ClassicLevel } from 'classic-level';
import type { Level } from '../../../src/storage/leveldb/read-range.ts';
import { createLevelStore } from '../../../src/storage/leveldb/store.ts';
import { createWriteQueue } from '../../../src/storage/write-queue.ts';
import { aMoment } from '../../support/moment.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

setFlagsFromString('--expose-gc');
const gc: () => void = runInNewContext('gc');

async function openStore(t: TestContext, { writeBufferSize = MIB } = {}) {
  const directory = await mkdtemp(path.join(tmpdir(), 'sync-level-'));
  t.after(() => rm(directory, { recursive: true }));
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
  return { level, store };
}

test('an open store holds no more than its write buffer, however long its last commit was', async (t) => {
  const writeBufferSize = 64 * KIB;
  const { level, store } = await openStore(t, { writeBufferSize });
  const heldBytes = () => Number(level.getProperty('leveldb.approximate-memory-usage'));
  const write = (bytes: number) =>
    store.exclusive(async ({ put }) => put(Buffer.of(1), Buffer.alloc(bytes, 'x')));
  await write(KIB);
  await write(MIB);
  assert.ok(heldBytes() > 0);
  while (heldBytes() > 2 * writeBufferSize) {
    t.signal.throwIfAborted();
    await aMoment();
  }
  // Closing waits for a flush that is under way, and passes over one that is not.
  await Promise.all([write(MIB), write(MIB), store.close()]);
});

test('what was read of long entries is held no longer than it is wanted, outside of V8 too', async (t) => {
  const { level, store } = await openStore(t);
  await store.exclusive(async ({ put }) => put(Buffer.of(1), Buffer.alloc(4 * MIB, 'x')));
  await level.compactRange(Buffer.of(0), Buffer.of(255));
  const kept: object[] = [];
  const open = level.iterator.bind(level);
  // V8 may collect an iterator late: here never.
  const keep = (options: object) => {
    const iterator = open(options);
    kept.push(iterator);
    return iterator;
  };
  Object.assign(level, { iterator: keep });
  const range = { gte: Buffer.of(1), lt: Buffer.of(2) };
  const readFirst = async (limit: number) => {
    for await (const [entry] of store.iterate({ ...range, limit })) {
      return entry?.[1].length;
    }
    return 0;
  };
  const rss = () => {
    gc();
    return process.memoryUsage.rss();
  };
  await readFirst(1);
  const before = rss();
  for (let i = 0; i < 96; i++) assert.equal(await readFirst(1 + (i % 2)), 4 * MIB);
  assert.equal(kept.length, 97);
  const grown = rss() - before;
  // Once 384 MiB. The rest is what this process, and the files that it ran before, have the C library keep.
  assert.ok(grown < 192 * MIB, `${grown / MIB} MiB`);
  await store.close();
});
