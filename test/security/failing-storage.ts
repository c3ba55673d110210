/** A storage module for tests: in memory, and it fails where and how it is told to. */

import type { KVReader, KVStore, Storage } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';

export interface Faults {
  /** What to throw, by where. */
  failures: Partial<Record<'open' | 'read' | 'write', unknown>>;
  /** A fault of the engine's, then: what it reads is nothing that it has written. */
  isGarbageRead: boolean;
}

const KEY = Symbol.for('sync-coordinator:test:faults');

/** The server imports a module as one of its own: what both see is kept outside of it. */
export function faultsOf(): Faults {
  const known: Faults | undefined = Reflect.get(globalThis, KEY);
  const faults = known ?? { failures: {}, isGarbageRead: false };
  Reflect.set(globalThis, KEY, faults);
  return faults;
}

const faults = faultsOf();

function failAt(place: keyof Faults['failures']): void {
  if (faults.failures[place] !== undefined) throw faults.failures[place];
}

function failingReader<Reader extends KVReader>(reader: Reader): Reader {
  return {
    ...reader,
    async getMany(keys: readonly Uint8Array[]) {
      failAt('read');
      return faults.isGarbageRead ? keys.map(() => Buffer.from('{')) : reader.getMany(keys);
    },
    async *iterate(range: Parameters<KVReader['iterate']>[0]) {
      failAt('read');
      for await (const entries of reader.iterate(range)) {
        yield faults.isGarbageRead
          ? entries.map(([key]) => [key, Buffer.from('{')] as const)
          : entries;
      }
    },
  };
}

function failingStore(store: KVStore): KVStore {
  return {
    ...failingReader(store),
    view: async () => failingReader(await store.view()),
    exclusive: (work) =>
      store.exclusive(async (transaction) => {
        const result = await work(failingReader(transaction));
        failAt('write');
        return result;
      }),
  };
}

export default function createFailingStorage(): Storage {
  const storage = createMemoryStorage();
  return {
    ...storage,
    // They are there, so that who only reads opens them, too.
    has: async () => true,
    async open(databaseId) {
      failAt('open');
      return failingStore(await storage.open(databaseId));
    },
  };
}
