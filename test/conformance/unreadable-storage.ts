/** A storage module for tests: in memory, and its rows can be written but not listed. */

import type { KVRange, KVReader, Storage } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';

const ROW_KIND = 'r'.charCodeAt(0);

function withoutRows<Reader extends KVReader>(reader: Reader): Reader {
  return {
    ...reader,
    iterate(range: KVRange) {
      const [kind] = range.gte ?? range.gt ?? [];
      if (kind === ROW_KIND) throw new Error('disk /dev/secret has failed');
      return reader.iterate(range);
    },
  };
}

export default function createUnreadableStorage(): Storage {
  const storage = createMemoryStorage();
  return {
    ...storage,
    async open(databaseId) {
      const store = await storage.open(databaseId);
      return { ...store, view: async () => withoutRows(await store.view()) };
    },
  };
}
