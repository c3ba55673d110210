/** One LevelDB as a store: transactions one after the other, reading, and what closing it takes. */

import type { ClassicLevel, Snapshot } from 'classic-level';
import { SyncError } from '../../errors/sync-error.ts';
import type { KVEntry, KVReader, KVStore } from '../kv-store.ts';
import { bytesPerRead } from '../read-size.ts';
import { createWriteQueue, storeClosed, type WriteQueue } from '../write-queue.ts';
import { readError } from './errors.ts';
import type { WriteOut } from './flush-on-close.ts';
import { noteRead } from './minor-gc.ts';

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/**
 * So few keys a transaction reads at once, in the main thread: ten take it about 5 µs, where handing
 * them to another thread and back takes 25 µs of processor, and waits while all of those threads
 * sync other databases. A block that is in no cache holds up everybody for as long as the disk
 * takes to read it, so more keys than some small changes touch are left to the threads.
 */
const KEYS_READ_AT_ONCE = 16;

/** More hardly reads quicker, and what is read is in memory twice until it is copied out of LevelDB. */
const BYTES_PER_READ_MAX = 512 * 1024;
const ENTRIES_PER_READ = 1000;

/**
 * A store that took more than this is written out to tables when it closes. Else the next opening
 * does it, while a device waits: it takes 90 ms and 20 MiB of memory to read 16 MiB back from
 * LevelDB's log.
 */
const LEFT_IN_LOG_BYTES_MAX = 1024 * 1024;
/** No record is there; LevelDB writes its buffer out before it looks what else to compact. */
const BEYOND_ALL_KEYS = Buffer.of(0xff, 0xff);

/**
 * First bytes of keys that are compacted at once. LevelDB rewrites the files of a range in a thread
 * of its own while another thread waits; 256 takes turns of one kind of records or few.
 */
const KINDS_PER_COMPACTION = 3;

export interface LevelStoreOptions {
  sync: boolean;
  /** Where all stores of a storage queue to have space given back. */
  reclaiming: WriteQueue;
  /** How all stores of a storage are written out. */
  writeOut: WriteOut;
  onClose(): void;
}

export function createLevelStore(level: Level, options: LevelStoreOptions): KVStore {
  const { sync, reclaiming, writeOut, onClose } = options;
  const queue = createWriteQueue();
  /**
   * Set by a write that failed. LevelDB itself goes on once there is room again, behind a torn
   * record in its log, and then loses what it acknowledged when it reads that log. Opening it
   * anew begins another log.
   */
  let failure: SyncError | undefined;
  let writtenBytes = 0;

  async function commit(batch: ReturnType<Level['batch']>): Promise<void> {
    try {
      await batch.write({ sync });
    } catch (cause) {
      failure = new SyncError(
        'STORE_UNAVAILABLE',
        'a write to the store of this database failed: it takes no more until it is opened again',
        { cause },
      );
      throw failure;
    }
  }

  const reader = createReader(level);
  const committed: KVReader = {
    ...reader,
    // Nobody writes meanwhile, so what is read one by one belongs together.
    getMany: async (keys) =>
      keys.length > KEYS_READ_AT_ONCE ? reader.getMany(keys) : readAtOnce(level, keys),
  };
  return {
    ...createReader(level, undefined, () => {
      if (queue.closed) throw storeClosed();
    }),
    exclusive: (work) =>
      queue.run(async () => {
        if (failure !== undefined) throw failure;
        // Refuses puts by itself once it was written or closed.
        const batch = level.batch();
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
        }
      }),
    async view() {
      if (queue.closed) throw storeClosed();
      const snapshot = level.snapshot();
      return { ...createReader(level, snapshot), close: () => snapshot.close() };
    },
    // Nobody else can have it open.
    onCommit: () => () => undefined,
    reclaimSpace: () =>
      reclaiming.run(async () => {
        // In pieces: closing waits for the one under way.
        for (let kind = 0; kind < 0xff && !queue.closed; kind += KINDS_PER_COMPACTION) {
          await level.compactRange(Buffer.of(kind), Buffer.of(kind + KINDS_PER_COMPACTION));
        }
      }),
    close: () =>
      queue.close(async () => {
        if (writtenBytes > LEFT_IN_LOG_BYTES_MAX && failure === undefined) {
          const written = writeOut(() => level.compactRange(BEYOND_ALL_KEYS, BEYOND_ALL_KEYS));
          // What cannot be written out stays in the log, and is no reason to keep the store open.
          await written.catch(() => undefined);
        }
        // Ends open iterations and views too.
        await level.close();
        onClose();
      }),
  };
}

function bytesOf(entries: readonly KVEntry[]): number {
  return entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}

function readAtOnce(level: Level, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
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
    async *iterate(range) {
      assertOpen?.();
      // Without the ones that are undefined: abstract-level takes those as bounds.
      const { gt, gte, lt, reverse = false, limit = -1 } = range;
      const low = gt !== undefined ? { gt } : gte !== undefined ? { gte } : {};
      try {
        const iterator = level.iterator({
          ...low,
          lt,
          reverse,
          limit,
          snapshot,
          highWaterMarkBytes: bytesPerRead(range, BYTES_PER_READ_MAX),
        });
        try {
          for (;;) {
            const entries = await iterator.nextv(ENTRIES_PER_READ);
            if (entries.length === 0) return;
            yield entries;
            noteRead(bytesOf(entries));
          }
        } finally {
          await iterator.close();
        }
      } catch (error) {
        throw readError(error);
      }
    },
  };
}
