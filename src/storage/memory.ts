/**
 * Storage in this process: for tests, demonstrations, and servers that may forget.
 * A database outlives its store, as long as the storage itself is open.
 */

import { SyncError } from '../errors.ts';
import { assertDatabaseId } from './database-id.ts';
import { ensureFormat } from './format.ts';
import type { KVEntry, KVReader, KVStore, Storage } from './kv-store.ts';
import {
  EMPTY_MAP,
  entriesOfRange,
  type KVChange,
  type OrderedMap,
  valueByKey,
  withChanges,
} from './ordered-map.ts';
import { createWriteQueue, storeClosed } from './write-queue.ts';

/** Here it saves no memory, but whoever sends what it reads shall meet the same sizes as elsewhere. */
const BYTES_PER_READ = 1024 * 1024;

/** What is committed of one database. */
interface Data {
  map: OrderedMap;
}

export function createMemoryStorage(): Storage {
  const dataById = new Map<string, Data>();
  const storesById = new Map<string, KVStore>();
  let closed = false;
  return {
    description: 'in memory: lost when the process ends',
    async open(databaseId) {
      assertDatabaseId(databaseId);
      if (closed) throw new SyncError('STORE_UNAVAILABLE', 'the storage is closed');
      if (storesById.has(databaseId)) throw new TypeError(`${databaseId} is already open`);
      const data = dataById.get(databaseId) ?? { map: EMPTY_MAP };
      dataById.set(databaseId, data);
      const store = createMemoryStore(data, () => storesById.delete(databaseId));
      storesById.set(databaseId, store);
      return ensureFormat(store, databaseId);
    },
    list: async () => [...dataById.keys()],
    async close() {
      closed = true;
      await Promise.all([...storesById.values()].map((store) => store.close()));
      dataById.clear();
    },
  };
}

function createMemoryStore(data: Data, onClose: () => void): KVStore {
  const queue = createWriteQueue();
  /** A transaction that close waits for may still read. */
  let released = false;

  function createReader(mapNow: () => OrderedMap): KVReader {
    return {
      async getMany(keys) {
        const map = mapNow();
        return keys.map((key) => valueByKey(map, key));
      },
      async *iterate(range) {
        for (const chunk of entriesOfRange(mapNow(), range)) {
          for (const entries of inReads(chunk)) {
            yield entries;
            if (released) throw storeClosed();
          }
        }
      },
    };
  }

  const committed = createReader(() => {
    if (released) throw storeClosed();
    return data.map;
  });
  return {
    ...createReader(() => {
      if (queue.closed) throw storeClosed();
      return data.map;
    }),
    exclusive: (work) =>
      queue.run(async () => {
        const changes: KVChange[] = [];
        let ended = false;
        const add = (key: Uint8Array, value: Uint8Array | undefined) => {
          if (ended) throw new TypeError('the transaction has ended');
          changes.push([Uint8Array.from(key), value && Uint8Array.from(value)]);
        };
        try {
          const result = await work({
            ...committed,
            put: add,
            delete: (key) => add(key, undefined),
          });
          if (changes.length > 0) {
            data.map = withChanges(data.map, changes);
          }
          return result;
        } finally {
          ended = true;
        }
      }),
    async view() {
      if (queue.closed) throw storeClosed();
      const map = data.map;
      let viewClosed = false;
      const reader = createReader(() => {
        if (viewClosed || released) throw storeClosed();
        return map;
      });
      return {
        ...reader,
        async close() {
          viewClosed = true;
        },
      };
    },
    // Nobody else can have it open.
    onCommit: () => () => undefined,
    close: () =>
      queue.close(async () => {
        released = true;
        onClose();
      }),
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
