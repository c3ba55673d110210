/** What a transaction writes, gathered until it is known whether all of it is to be committed. */

import type { KVReader, KVTransaction } from './kv-store.ts';
import type { KVChange } from './ordered-map.ts';

export interface Draft<T> {
  result: T;
  /** In their order: the last of a key counts. */
  writes: KVChange[];
}

/** @param committed what `work` reads, which does not see its own writes */
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
