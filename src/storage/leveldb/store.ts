/** One LevelDB as a `KVStore`. */

import type { Snapshot } from 'classic-level';
import { SyncError } from '../../errors/sync-error.ts';
import type { KVReader, KVStore } from '../kv-store.ts';
import { createWriteQueue, storeClosed, type WriteQueue } from '../write-queue.ts';
import { readError } from './errors.ts';
import type { FlushOnClose } from './flush-on-close.ts';
import { type Level, readRange } from './read-range.ts';

/**
 * Up to so many keys a transaction reads synchronously, in the main thread: ten keys take about 5
 * µs. Handing them to another thread takes 25 µs of processor time, and has to wait while all of
 * those threads sync other databases. But a block that is not cached blocks the main thread for the
 * time of a disk read, so more keys than a few small changes touch are left to the threads.
 */
const KEYS_READ_SYNC_MAX = 16;

/**
 * A store that was written more than this is flushed to tables when it closes. Otherwise the next
 * opening has to do so, while a device waits: reading 16 MiB back from LevelDB's log takes 90 ms
 * and 20 MiB of memory.
 */
const LEFT_IN_LOG_BYTES_MAX = 1024 * 1024;
/** A range without records: LevelDB flushes its buffer before it looks for what to compact. */
const BEYOND_ALL_KEYS = Buffer.of(0xff, 0xff);

/**
 * The first bytes of keys that one compaction covers. LevelDB rewrites the files of a range in a
 * thread of its own while another thread waits; a small range keeps each call short.
 */
const KINDS_PER_COMPACTION = 3;

export interface LevelStoreOptions {
  sync: boolean;
  /** Of `level`, in bytes. */
  writeBufferSize: number;
  /** The queue in which all stores of a storage flush what is longer than their write buffers. */
  flushing: WriteQueue;
  /** The queue in which all stores of a storage reclaim space. */
  reclaiming: WriteQueue;
  /** Shared by all stores of a storage. */
  flushOnClose: FlushOnClose;
  /** Why its files are not this process's any more, if that was seen. */
  loss(): SyncError | undefined;
  /** Looks at the disk for that, which takes about 2 µs. */
  look(): SyncError | undefined;
  /** Closes `level`, which may be closed already. */
  close(): Promise<void>;
}

export function createLevelStore(level: Level, options: LevelStoreOptions): KVStore {
  const { sync, writeBufferSize, flushing, reclaiming, flushOnClose } = options;
  const queue = createWriteQueue();
  /**
   * Set by a write that failed. LevelDB itself would go on once there is room on the disk again,
   * after a torn record in its log, and lose what follows that when it reads the log. Opening it
   * again begins a new log.
   */
  let failure: SyncError | undefined;
  let writtenBytes = 0;

  async function commit(batch: ReturnType<Level['batch']>): Promise<void> {
    // Before: LevelDB would write into another's directory. After: nobody would find what is acknowledged.
    refuseIfLost();
    try {
      await batch.write({ sync });
    } catch (cause) {
      refuseIfLost();
      failure = new SyncError(
        'STORE_UNAVAILABLE',
        'a write to the store of this database failed: it takes no more until it is opened again',
        { cause },
      );
      throw failure;
    }
    refuseIfLost();
  }

  function refuseIfLost(): void {
    failure ??= options.look();
    if (failure !== undefined) throw failure;
  }

  function assertOpen(): void {
    if (queue.closed) throw storeClosed();
    const loss = options.loss();
    if (loss !== undefined) throw loss;
  }

  /**
   * LevelDB takes the whole of a commit into its write buffer, and flushes what is longer than that
   * before the next write only: a database would hold its last long batch for as long as it is
   * open. If this fails, so does the next write.
   */
  function flushLater(): void {
    const flush = async () => {
      if (!queue.closed && options.look() === undefined) {
        await level.compactRange(BEYOND_ALL_KEYS, BEYOND_ALL_KEYS);
      }
    };
    flushing.run(flush).catch(() => undefined);
  }

  const reader = createReader(level);
  const committed: KVReader = {
    ...reader,
    // There is no other writer meanwhile, so single reads are consistent.
    getMany: async (keys) =>
      keys.length > KEYS_READ_SYNC_MAX ? reader.getMany(keys) : getManySync(level, keys),
  };
  return {
    ...createReader(level, undefined, assertOpen),
    exclusive: (work) =>
      queue.run(async () => {
        failure ??= options.loss();
        if (failure !== undefined) throw failure;
        // It refuses puts once it was written or closed.
        const batch = level.batch();
        const writtenBefore = writtenBytes;
        try {
          const result = await work({
            getMany: committed.getMany,
            iterate: committed.iterate,
            put(key, value) {
              batch.put(key, value);
              writtenBytes += key.length + value.length;
            },
            delete: (key) => void batch.del(key),
          });
          if (batch.length > 0) await commit(batch);
          return result;
        } finally {
          await batch.close();
          if (writtenBytes - writtenBefore > writeBufferSize) flushLater();
        }
      }),
    async view() {
      assertOpen();
      const snapshot = level.snapshot();
      return { ...createReader(level, snapshot), close: () => snapshot.close() };
    },
    // No other process can have it open.
    onCommit: () => () => undefined,
    reclaimSpace: () =>
      reclaiming.run(async () => {
        // In small ranges, since closing waits for the current one.
        for (let kind = 0; kind < 0xff && !queue.closed; kind += KINDS_PER_COMPACTION) {
          refuseIfLost();
          await level.compactRange(Buffer.of(kind), Buffer.of(kind + KINDS_PER_COMPACTION));
        }
      }),
    close: () =>
      queue.close(async () => {
        failure ??= options.look();
        if (writtenBytes > LEFT_IN_LOG_BYTES_MAX && failure === undefined) {
          const flushed = flushOnClose(() => level.compactRange(BEYOND_ALL_KEYS, BEYOND_ALL_KEYS));
          // If this fails the data is still in the log, and the store must close all the same.
          await flushed.catch(() => undefined);
        }
        // Ends open iterations and views, too.
        await options.close();
      }),
  };
}

function getManySync(level: Level, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
  try {
    return keys.map((key) => level.getSync(key));
  } catch (error) {
    throw readError(error);
  }
}

function createReader(level: Level, snapshot?: Snapshot, assertOpen?: () => void): KVReader {
  return {
    async getMany(keys) {
      assertOpen?.();
      try {
        return await level.getMany([...keys], { snapshot });
      } catch (error) {
        throw readError(error);
      }
    },
    iterate: (range) => readRange(level, range, { snapshot, assertOpen }),
  };
}
