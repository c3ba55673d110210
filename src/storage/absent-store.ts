/**
 * The store of a database that does not exist yet. It reads as empty. Writes that alone must not
 * create the database (its site id, records of sites) are kept in memory; the first other write
 * creates it. From then on this is that database's own store.
 *
 * On shared data another process may create the database first. So each read and write checks
 * whether it exists, and `onCommit` reports that.
 */

import { type Draft, draftWrites } from './draft.ts';
import type {
  AbsentDatabase,
  CommitListener,
  KVReader,
  KVStore,
  KVTransaction,
  KVView,
  Storage,
  WriteOptions,
} from './kv-store.ts';
import { readerOf } from './memory.ts';
import { EMPTY_MAP, entriesOfRange, type OrderedMap, withChanges } from './ordered-map.ts';
import { UNFINISHED_KEY } from './unfinished.ts';
import { createWriteQueue, storeClosed } from './write-queue.ts';

export interface AbsentStoreOptions {
  /** Whether the database exists by now. */
  has(): Promise<boolean>;
  /**
   * Opens the database. Called again after a failure.
   * @param isNew whether to create it; otherwise another process has
   */
  open(isNew: boolean): Promise<KVStore>;
  /** For a database that other processes may create. */
  absent?: AbsentDatabase | undefined;
}

/** Entries of the engine, without those of the storage layer. */
const ENGINES_OWN = { gte: Uint8Array.of(1), lt: Uint8Array.of(0xff), limit: 1 };
const EVERYTHING = { lt: Uint8Array.of(0xff) };

const nothing = () => {};

/**
 * Opens the store of a database, or an absent store if the database does not exist. `seed` is the
 * site id that a new database has to get, if the storage decides that.
 * @param open see `AbsentStoreOptions`
 */
export async function openUnlessAbsent(
  storage: Storage,
  databaseId: string,
  open: (isNew: boolean) => Promise<KVStore>,
): Promise<{ store: KVStore; seed?: Uint8Array | undefined }> {
  const { has } = storage;
  if (has === undefined || (await has(databaseId))) return { store: await open(false) };
  const absent = await storage.absentDatabase?.(databaseId);
  const store = createAbsentStore({ has: () => has(databaseId), open, absent });
  return { store, seed: absent?.seed };
}

export function createAbsentStore(options: AbsentStoreOptions): KVStore {
  const { has, absent } = options;
  const queue = createWriteQueue();
  /** The listeners, each with the function that stops it. */
  const listeners = new Map<CommitListener, () => void>();
  /** What is kept in memory. */
  let map: OrderedMap = EMPTY_MAP;
  /** The database's own store, once it has been opened. */
  let opened: KVStore | undefined;
  let opening: Promise<KVStore> | undefined;
  /** The same, once it holds anything of the engine. */
  let made: KVStore | undefined;

  /** Attaches a listener to the database's own store or, before that is opened, to `absent`. */
  function listen(listener: CommitListener): void {
    const stop =
      opened?.onCommit(listener) ?? (opening === undefined ? absent?.onMade(listener) : undefined);
    listeners.set(listener, stop ?? nothing);
  }

  function stopListening(): void {
    for (const [listener, stop] of listeners) {
      listeners.set(listener, nothing);
      stop();
    }
  }

  async function openOwn(isNew: boolean): Promise<KVStore> {
    stopListening();
    try {
      opened = await options.open(isNew);
      return opened;
    } catch (error) {
      opening = undefined;
      throw error;
    } finally {
      for (const listener of listeners.keys()) listen(listener);
    }
  }

  function open(isNew: boolean): Promise<KVStore> {
    opening ??= openOwn(isNew);
    return opening;
  }

  /** The database's own store, if another process has made it meanwhile. */
  async function look(): Promise<KVStore | undefined> {
    if (made !== undefined || absent === undefined) return made;
    if (opening === undefined && !(await has())) return undefined;
    const store = await open(false);
    if (made !== undefined || (await isEmpty(store))) return made;
    made = store;
    // The store does not report commits from before it was opened.
    for (const listener of listeners.keys()) void listener();
    return made;
  }

  /**
   * Creates the database: writes what was kept in memory and the first write, in one transaction.
   */
  async function make<T>(
    { result, writes }: Draft<T>,
    work: (transaction: KVTransaction) => Promise<T>,
  ): Promise<T> {
    const store = await open(true);
    const outcome = await store.exclusive(async (transaction) => {
      // Another process has created it first: do the work again, with what it holds.
      if (!(await isEmpty(transaction))) return work(transaction);
      for (const entries of entriesOfRange(map, EVERYTHING)) {
        for (const [key, value] of entries) transaction.put(key, value);
      }
      for (const [key, value] of writes) {
        if (value === undefined) transaction.delete(key);
        else transaction.put(key, value);
      }
      return result;
    });
    made = store;
    return outcome;
  }

  async function write<T>(
    work: (transaction: KVTransaction) => Promise<T>,
    { whereAbsent }: WriteOptions = {},
  ): Promise<T> {
    const store = await look();
    if (store !== undefined) return store.exclusive(work);
    const draft = await draftWrites(readerOf(map), work);
    if (draft.writes.length === 0) return draft.result;
    if (whereAbsent === undefined) return make(draft, work);
    if (whereAbsent === 'keep') map = withChanges(map, draft.writes);
    return draft.result;
  }

  async function reader(): Promise<KVReader> {
    if (queue.closed) throw storeClosed();
    return (await look()) ?? readerOf(map);
  }

  return {
    // If opening fails, the next write tries again.
    get recovers() {
      return opened === undefined || (opened.recovers ?? false);
    },
    getMany: async (keys) => (await reader()).getMany(keys),
    async *iterate(range) {
      yield* (await reader()).iterate(range);
    },
    exclusive: (work, writeOptions) => queue.run(() => write(work, writeOptions)),
    async view() {
      if (queue.closed) throw storeClosed();
      return (await look())?.view() ?? createView(readerOf(map));
    },
    onCommit(listener) {
      listen(listener);
      return () => {
        listeners.get(listener)?.();
        listeners.delete(listener);
      };
    },
    reclaimSpace: async () => made?.reclaimSpace?.(),
    close: () =>
      queue.close(async () => {
        stopListening();
        listeners.clear();
        await (await opening?.catch(() => undefined))?.close();
      }),
  };
}

function createView(reader: KVReader): KVView {
  let isClosed = false;
  const assertOpen = () => {
    if (isClosed) throw storeClosed();
  };
  return {
    async getMany(keys) {
      assertOpen();
      return reader.getMany(keys);
    },
    async *iterate(range) {
      assertOpen();
      yield* reader.iterate(range);
    },
    async close() {
      isClosed = true;
    },
  };
}

/** Whether the engine has written nothing, and no copy or import is under way. */
async function isEmpty(reader: KVReader): Promise<boolean> {
  for await (const _entries of reader.iterate(ENGINES_OWN)) return false;
  const [mark] = await reader.getMany([UNFINISHED_KEY]);
  return mark === undefined;
}
