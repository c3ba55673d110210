/** Gathers the writes of a transaction until its work has succeeded. */

import type { KVReader, KVTransaction } from './kv-store.ts';
import type { KVChange } from './ordered-map.ts';

export interface Draft<T> {
  result: T;
  /** In order: the last one of a key counts. */
  writes: KVChange[];
}

/** @param committed where `work` reads: it does not see its own writes */
export async function draftWrites<T>(
  committed: KVReader,
  work: (transaction: KVTransaction) => Promise<T>,
): Promise<Draft<T>> {
  const writes: KVChange[] = [];
  let ended = false;
  const add = (key: Uint8Array, value?: Uint8Array) => {
    if (ended) throw new TypeError('the transaction has ended');
    writes.push([Uint8Array.from(key), value && Uint8Array.from(value)]);
  };
  try {
    const result = await work({ ...committed, put: add, delete: (key) => add(key) });
    return { result, writes };
  } finally {
    ended = true;
  }
}
