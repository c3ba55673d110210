/**
 * Storage in the memory of this process: for tests, demonstrations, and servers that may lose their
 * data. Closing a store keeps its database; closing the storage loses all.
 */

import { createStorage } from './create-storage.ts';
import { createStore } from './create-store.ts';
import type { KVEntry, KVReader, KVStore, Storage } from './kv-store.ts';
import {
  EMPTY_MAP,
  entriesOfRange,
  type OrderedMap,
  valueByKey,
  withChanges,
} from './ordered-map.ts';

/** Saves no memory here, but callers get arrays of the same sizes as from other storages. */
const BYTES_PER_READ = 1024 * 1024;

/** The committed entries of one database. */
interface Data {
  map: OrderedMap;
}

export function createMemoryStorage(): Storage {
  const dataById = new Map<string, Data>();
  return createStorage({
    description: 'in memory: lost when the process ends',
    open(databaseId) {
      const data = dataById.get(databaseId) ?? { map: EMPTY_MAP };
      dataById.set(databaseId, data);
      return createMemoryStore(data);
    },
    list: async () => [...dataById.keys()],
    has: async (databaseId) => dataById.has(databaseId),
    close: () => dataById.clear(),
  });
}

function createMemoryStore(data: Data): KVStore {
  return createStore({
    view: () => ({ ...readerOf(data.map), close: async () => {} }),
    commit(writes) {
      data.map = withChanges(data.map, writes);
    },
    close: () => {},
  });
}

export function readerOf(map: OrderedMap): KVReader {
  return {
    getMany: async (keys) => keys.map((key) => valueByKey(map, key)),
    async *iterate(range) {
      for (const chunk of entriesOfRange(map, range)) yield* inReads(chunk);
    },
  };
}

function* inReads(entries: readonly KVEntry[]): Generator<readonly KVEntry[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, [key, value]] of entries.entries()) {
    bytes += key.length + value.length;
    if (bytes <= BYTES_PER_READ) continue;
    yield entries.slice(start, index + 1);
    start = index + 1;
    bytes = 0;
  }
  if (start < entries.length) yield start === 0 ? entries : entries.slice(start);
}
