/**
 * The store of a database that is not there: it reads as empty, keeps in memory what alone is no
 * reason to make the database (its site id, notes on sites), and makes it with the first write that
 * is one. From then on it is that database's own store.
 *
 * Where several processes share the data, another one may make it first. So whoever reads or writes
 * looks whether it is there, and is told of it by `onCommit`.
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
  /** Whether the database is there by now. */
  has(): Promise<boolean>;
  /**
   * Opens the database. Called again where it has failed.
   * @param isNew it is to be made; otherwise another process has
   */
  open(isNew: boolean): Promise<KVStore>;
  /** For a database that other processes may make. */
  absent?: AbsentDatabase | undefined;
}

/** What a database holds beside the storage layer's own. */
const ENGINES_OWN = { gte: Uint8Array.of(1), lt: Uint8Array.of(0xff), limit: 1 };
const EVERYTHING = { lt: Uint8Array.of(0xff) };

const nothing = () => {};

/**
 * The store of a database, or what stands in for it while that is not there; with the bytes that its site
 * id is to be made of, where the storage says so.
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
  /** What stops each of them. */
  const listeners = new Map<CommitListener, () => void>();
  /** What it would hold if it were there. */
  let map: OrderedMap = EMPTY_MAP;
  /** The database's own store, once that has been opened. */
  let opened: KVStore | undefined;
  let opening: Promise<KVStore> | undefined;
  /** The same, once it holds anything. */
  let made: KVStore | undefined;

  /** Hears of what others write, from whichever store can tell at the moment. */
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
    // What it was opened with, nobody has been told of.
    for (const listener of listeners.keys()) void listener();
    return made;
  }

  /** In one transaction: what was kept in memory, and the write that is worth it. */
  async function make<T>(
    { result, writes }: Draft<T>,
    work: (transaction: KVTransaction) => Promise<T>,
  ): Promise<T> {
    const store = await open(true);
    const outcome = await store.exclusive(async (transaction) => {
      // Another process was first: what it holds is what the work is to be done on.
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
    // What could not be opened is tried again.
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

/** Whether nothing was ever put there, nor is being brought in. */
async function isEmpty(reader: KVReader): Promise<boolean> {
  for await (const _entries of reader.iterate(ENGINES_OWN)) return false;
  const [mark] = await reader.getMany([UNFINISHED_KEY]);
  return mark === undefined;
}
