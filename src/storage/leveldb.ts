/**
 * Storage in a directory: one LevelDB a database, one process a directory.
 * The only file that knows classic-level.
 *
 *     <directory>/_coordinator…   the lock (see `data-directory.ts`)
 *     <directory>/db-<id>/        one LevelDB (see `database-directory.ts`)
 *
 * 'view' encodings let bytes through untouched in both directions; what comes out
 * happens to be Buffers.
 */

import { mkdir, open as openFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ClassicLevel, type Snapshot } from 'classic-level';
import { SyncError } from '../errors.ts';
import { createStorage } from './create-storage.ts';
import { acquireDataDirectory } from './data-directory.ts';
import { databaseIdToDirectoryName, directoryNameToDatabaseId } from './database-directory.ts';
import type { KVEntry, KVReader, KVStore, Storage } from './kv-store.ts';
import { openError, readError } from './leveldb-errors.ts';
import { refuseDamage } from './leveldb-files.ts';
import { bytesPerRead, ENTRIES_PER_READ } from './read-size.ts';
import { createWriteOut, type WriteOut } from './write-out.ts';
import { createWriteQueue, storeClosed } from './write-queue.ts';
import { noteRead } from './young-garbage.ts';

type Level = ClassicLevel<Uint8Array, Uint8Array>;

export interface LevelStorageOptions {
  directory: string;
  /**
   * 'fsync': a commit is on the disk when its promise resolves. 'os': it is with the
   * operating system, so it outlives this process but perhaps not a power failure.
   */
  durability: 'fsync' | 'os';
  /** Makes nothing: neither a directory nor a database. And checks all files of what is there. */
  existing?: boolean;
}

const MIB = 1024 * 1024;

/**
 * Memory that one database may grow to: a write buffer (LevelDB fills a second one while
 * it writes the first out) and a cache of blocks. The first databases get what makes them
 * fast: what is written out in pieces of 16 MiB in place of 4 is merged with what is there a
 * quarter as often, which saves a quarter of all the processor time that applying takes, and
 * pieces of 32 MiB save 7 % more (after a crash it takes 90 ms to read 16 MiB back). With
 * hundreds open, each is likely small, and the sum is what counts: 1,000 open ones stay at about
 * 2.4 GiB even when all of them are written to and read from.
 */
const MEMORY_BY_RANK = [
  { openUpTo: 8, writeBufferSize: 32 * MIB, cacheSize: 8 * MIB },
  { openUpTo: 32, writeBufferSize: 4 * MIB, cacheSize: 8 * MIB },
  { openUpTo: Number.POSITIVE_INFINITY, writeBufferSize: MIB / 2, cacheSize: MIB / 2 },
];

/** @param openStores with the one that it is for */
function memoryFor(openStores: number) {
  const found = MEMORY_BY_RANK.find(({ openUpTo }) => openStores <= openUpTo);
  const { writeBufferSize, cacheSize } = found ?? {};
  return { writeBufferSize, cacheSize };
}

/** Tables are checked up to here when a database opens; the rest is for `sync-coordinator verify`. */
const CHECKED_BYTES_MAX = 256 * MIB;

const LEVEL_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  /**
   * Tables held open, of 2 MiB each. LevelDB maps the first 1,000 of the process into memory;
   * later ones cost a descriptor each, beside the four that every open database takes.
   */
  maxOpenFiles: 200,
} as const;

/**
 * So few keys a transaction reads at once, in the main thread: ten take it about 5 µs, where handing
 * them to another thread and back takes 25 µs of processor, and waits while all of those threads
 * sync other databases. A block that is in no cache holds up everybody for as long as the disk
 * takes to read it, so more keys than some small changes touch are left to the threads.
 */
const KEYS_READ_AT_ONCE = 16;

/** More hardly reads quicker, and what is read is in memory twice until it is copied out of LevelDB. */
const BYTES_PER_READ_MAX = MIB / 2;

/**
 * A store that took more than this is written out to tables when it closes. Else the next opening
 * does it, while a device waits: it takes 90 ms and 20 MiB of memory to read 16 MiB back from
 * LevelDB's log.
 */
const LEFT_IN_LOG_BYTES_MAX = MIB;
/** Well within what a stop leaves for closing the stores: eight full write buffers took 0.25 s. */
const WRITE_OUT_MS = 2000;
/** No record is there; LevelDB writes its buffer out before it looks what else to compact. */
const BEYOND_ALL_KEYS = Buffer.of(0xff, 0xff);

/** @throws SyncError STORE_LOCKED, STORE_UNAVAILABLE: their messages are for the operator */
export async function createLevelStorage(options: LevelStorageOptions): Promise<Storage> {
  const { existing = false } = options;
  const directory = await acquireDataDirectory(options.directory, takeLock, { existing });
  /** Also those that are being opened. */
  let openStores = 0;
  const sync = options.durability === 'fsync';
  /** One at a time: each one takes a thread of those that all reads and writes share. */
  const reclaiming = createWriteQueue();
  const writeOut = createWriteOut(WRITE_OUT_MS);

  async function openStore(databaseId: string): Promise<KVStore> {
    const location = path.join(directory.path, databaseIdToDirectoryName(databaseId));
    openStores++;
    try {
      if (!existing) await mkdir(location, { recursive: true });
      await refuseDamage(
        databaseId,
        location,
        existing ? Number.POSITIVE_INFINITY : CHECKED_BYTES_MAX,
      );
      // LevelDB syncs what is in its directory; that the directory exists must be durable too.
      if (sync) await syncDirectory(directory.path);
      const level: Level = new ClassicLevel(location, {
        ...{ ...LEVEL_OPTIONS, ...memoryFor(openStores) },
        createIfMissing: !existing,
      });
      await level.open();
      return createLevelStore(level, {
        ...{ sync, reclaiming, writeOut },
        onClose: () => openStores--,
      });
    } catch (error) {
      openStores--;
      throw openError(`database ${databaseId}`, error);
    }
  }

  return createStorage({
    description: `LevelDB in ${directory.path}, durability ${options.durability}`,
    existing,
    // LevelDB, too, would refuse to open one twice, and let go of the first one's lock while doing so.
    open: openStore,
    async list() {
      const entries = await readdir(directory.path, { withFileTypes: true });
      const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
      return names.filter((name) => name.startsWith('db-')).map(directoryNameToDatabaseId);
    },
    close: () => directory.release(),
  });
}

interface LevelStoreOptions {
  sync: boolean;
  /** Where all stores of a storage queue to have space given back. */
  reclaiming: ReturnType<typeof createWriteQueue>;
  /** How all stores of a storage are written out. */
  writeOut: WriteOut;
  onClose(): void;
}

function createLevelStore(level: Level, options: LevelStoreOptions): KVStore {
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

/**
 * First bytes of keys that are compacted at once. LevelDB rewrites the files of a range in a thread
 * of its own while another thread waits; 256 takes turns of one kind of records or few.
 */
const KINDS_PER_COMPACTION = 3;

const takeLock = async (location: string) => {
  const lock = new ClassicLevel(location, { writeBufferSize: MIB / 16, cacheSize: 0 });
  try {
    await lock.open();
    return lock;
  } catch (error) {
    throw openError('this data directory', error);
  }
};

async function syncDirectory(directory: string): Promise<void> {
  // Windows opens no directories, and needs no such thing.
  if (process.platform === 'win32') return;
  const handle = await openFile(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
