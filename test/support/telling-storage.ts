/** A storage module for tests: in memory, and it says of itself what it is told to. */

import type { Storage, StorageFigures } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';

export interface Told {
  /** Rejects where it is to be unwell. */
  check(): Promise<void>;
  figures: StorageFigures;
}

export const TELLING_STORAGE = import.meta.filename;

/** All that there is to tell. */
export const SOME_FIGURES: StorageFigures = {
  pools: [{ name: 'write', max: 5, open: 3, idle: 1, waiting: 2 }],
  notifications: { connected: true, lagMs: 250, reconnects: 4, missed: 6 },
  transactions: { retries: 7, resolved: 8 },
};

const KEY = Symbol.for('sync-coordinator:test:told');

/** The server imports a module as one of its own: what both see is kept outside of it. */
export function told(): Told {
  const known: Told | undefined = Reflect.get(globalThis, KEY);
  const it = known ?? { check: async () => undefined, figures: SOME_FIGURES };
  Reflect.set(globalThis, KEY, it);
  return it;
}

export default function createTellingStorage(): Storage {
  const health = { check: () => told().check(), figures: () => told().figures };
  return { ...createMemoryStorage(), health };
}
