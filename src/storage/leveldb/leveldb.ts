/**
 * Storage in a directory: one LevelDB a database, one process a directory.
 * Only the files in this directory know classic-level.
 *
 *     <directory>/_coordinator…   the lock (see `data-directory.ts`)
 *     <directory>/db-<id>/        one LevelDB (see `database-directory.ts`)
 *
 * The 'view' encodings pass bytes unchanged in both directions; reads return Buffers.
 */

import { access, mkdir, open as openFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { codeOf, type SyncError } from '../../errors/sync-error.ts';
import { createStorage } from '../create-storage.ts';
import { databaseIdToDirectoryName, directoryNameToDatabaseId } from '../database-directory.ts';
import type { KVStore, Storage } from '../kv-store.ts';
import { createWriteQueue } from '../write-queue.ts';
import { acquireDataDirectory, DATABASE_LOCK, isGone } from './data-directory.ts';
import { lockedStore, movedStore, openError } from './errors.ts';
import { lockFile } from './file-lock.ts';
import { refuseDamage } from './files.ts';
import { createFlushOnClose } from './flush-on-close.ts';
import { DIRECTORY_MODE } from './modes.ts';
import { createProbe } from './probe.ts';
import type { Level } from './read-range.ts';
import { createLevelStore } from './store.ts';

export interface LevelStorageOptions {
  directory: string;
  /**
   * 'fsync': a commit is on the disk when its promise resolves. 'os': it is with the
   * operating system, so it outlives this process but perhaps not a power failure.
   */
  durability: 'fsync' | 'os';
  /** Creates nothing, neither a directory nor a database, and checks all files of existing ones. */
  existing?: boolean;
}

const MIB = 1024 * 1024;

/**
 * The memory of one database: a write buffer (LevelDB fills a second one while it flushes the
 * first) and a cache of blocks. The first databases get large buffers: flushing 16 MiB instead of 4
 * at a time is followed by compaction a quarter as often, which saves a quarter of all the
 * processor time of applying changes; 32 MiB save 7 % more (after a crash it takes 90 ms to read 16
 * MiB back). If hundreds of databases are open, each is likely small, and the sum counts: 1,000
 * open ones stay at about 2.4 GiB, even if all of them are written to and read from.
 */
const MEMORY_BY_RANK = [
  { openUpTo: 8, writeBufferSize: 32 * MIB, cacheSize: 8 * MIB },
  { openUpTo: 32, writeBufferSize: 4 * MIB, cacheSize: 8 * MIB },
];
/** The memory of later ones. */
const SMALL_MEMORY = { writeBufferSize: MIB / 2, cacheSize: MIB / 2 };

/** @param openStores the number of open stores, including this one */
function memoryFor(openStores: number) {
  const found = MEMORY_BY_RANK.find(({ openUpTo }) => openStores <= openUpTo);
  const { writeBufferSize, cacheSize } = found ?? SMALL_MEMORY;
  return { writeBufferSize, cacheSize };
}

/**
 * The bytes of tables that are checked when a database opens; `sync-coordinator verify` checks the
 * rest.
 */
const CHECKED_BYTES_MAX = 256 * MIB;

const LEVEL_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  /**
   * Tables of 2 MiB that a database keeps open. LevelDB maps the first 1,000 of the process into
   * memory; later ones cost a file descriptor each, in addition to the five of every open database.
   */
  maxOpenFiles: 200,
} as const;

/** Its two locks, log, manifest and LevelDB's own log; without tables that are not mapped. */
const FILES_PER_DATABASE = 5;

/**
 * Well within the time that a stop has for closing stores: eight full write buffers took 0.25 s.
 */
const FLUSH_ON_CLOSE_MS = 2000;

/** @throws SyncError STORE_LOCKED, STORE_UNAVAILABLE: their messages are for the operator */
export async function createLevelStorage(options: LevelStorageOptions): Promise<Storage> {
  const { existing = false } = options;
  /** Those of the open stores. */
  const closings = new Set<() => Promise<void>>();
  const directory = await acquireDataDirectory(options.directory, takeLock, {
    existing,
    // LevelDB names its files by their paths, which may be in another server's directory by now.
    onLoss: () => void Promise.allSettled([...closings].map((close) => close())),
  });
  /** Includes stores that are being opened. */
  let openStores = 0;
  const sync = options.durability === 'fsync';
  /** One at a time: each takes one of the threads that all reads and writes share. */
  const reclaiming = createWriteQueue();
  const flushing = createWriteQueue();
  const flushOnClose = createFlushOnClose(FLUSH_ON_CLOSE_MS);

  const locate = (databaseId: string) =>
    path.join(directory.path, databaseIdToDirectoryName(databaseId));

  async function openStore(databaseId: string): Promise<KVStore> {
    const location = locate(databaseId);
    openStores++;
    let unlock = () => {};
    try {
      directory.look();
      if (directory.loss !== undefined) throw directory.loss;
      if (!existing) await mkdir(location, { recursive: true, mode: DIRECTORY_MODE });
      const lock = lockFile(path.join(location, DATABASE_LOCK));
      if (lock === undefined) throw lockedStore(`database ${databaseId}`);
      unlock = lock.release;
      await refuseDamage(
        databaseId,
        location,
        existing ? Number.POSITIVE_INFINITY : CHECKED_BYTES_MAX,
      );
      // LevelDB syncs the files in its directory; the directory's own entry must be durable, too.
      if (sync) await syncDirectory(directory.path);
      const memory = memoryFor(openStores);
      const level: Level = new ClassicLevel(location, {
        ...{ ...LEVEL_OPTIONS, ...memory },
        createIfMissing: !existing,
      });
      await level.open();
      const close = async () => {
        await level.close();
        unlock();
      };
      closings.add(close);
      let moved: SyncError | undefined;
      const loss = () => directory.loss ?? moved;
      return createLevelStore(level, {
        ...{ sync, reclaiming, flushing, flushOnClose, writeBufferSize: memory.writeBufferSize },
        loss,
        look() {
          if (loss() === undefined && isGone(lock)) {
            directory.look();
            moved = movedStore();
          }
          return loss();
        },
        async close() {
          await close();
          closings.delete(close);
          openStores--;
        },
      });
    } catch (error) {
      unlock();
      openStores--;
      throw openError(`database ${databaseId}`, error);
    }
  }

  return createStorage({
    description: `LevelDB in ${directory.path}, durability ${options.durability}`,
    existing,
    // `createStorage` opens none twice: LevelDB would refuse that, too, but release the first one's
    // lock.
    open: openStore,
    // Anything at the path counts; opening checks it, and refuses what is damaged.
    async has(databaseId) {
      try {
        await access(locate(databaseId));
        return true;
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return false;
        throw openError(`database ${databaseId}`, error);
      }
    },
    filesPerDatabase: FILES_PER_DATABASE,
    health: createProbe(path.join(directory.path, '_coordinator', 'probe'), () => {
      directory.look();
      return directory.loss;
    }),
    async list() {
      const entries = await readdir(directory.path, { withFileTypes: true });
      const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
      return names.filter((name) => name.startsWith('db-')).map(directoryNameToDatabaseId);
    },
    close: () => directory.release(),
  });
}

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
  // On Windows a directory can't be opened, and need not be synced.
  if (process.platform === 'win32') return;
  const handle = await openFile(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
