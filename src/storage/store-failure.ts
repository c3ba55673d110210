/**
 * Tells failures of a store from errors of the work on it. The first concern all that waits for the
 * store, the second only the caller of that work.
 */

import { SyncError, toSyncError } from '../errors/sync-error.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { KVRange, KVStore, KVTransaction, WriteOptions } from './kv-store.ts';

const STORE_CODES: ReadonlySet<ErrorCode> = new Set([
  'STORE_UNAVAILABLE',
  'STORE_LOCKED',
  'STORE_FORMAT',
  'STORE_DAMAGED',
]);

export function isStoreFailure(error: unknown): error is SyncError {
  return error instanceof SyncError && STORE_CODES.has(error.code);
}

/**
 * Calls `store.exclusive`. If the store fails, at the beginning, at a read or at the commit, this
 * always rejects with a SyncError for which `isStoreFailure` is true. Errors of `work` itself pass
 * through.
 */
export async function writeExclusively<T>(
  store: KVStore,
  work: (transaction: KVTransaction) => Promise<T>,
  options?: WriteOptions,
): Promise<T> {
  let thrownByWork: { error: unknown } | undefined;
  try {
    return await store.exclusive(async (transaction) => {
      thrownByWork = undefined;
      const reads = { failed: false };
      try {
        return await work(notingReads(transaction, reads));
      } catch (error) {
        if (!reads.failed) thrownByWork = { error };
        throw error;
      }
    }, options);
  } catch (error) {
    if (thrownByWork?.error === error) throw error;
    throw toSyncError(
      error,
      'STORE_UNAVAILABLE',
      'the store of this database cannot be used at the moment; try again',
    );
  }
}

function notingReads(transaction: KVTransaction, reads: { failed: boolean }): KVTransaction {
  return {
    put: (key, value) => transaction.put(key, value),
    delete: (key) => transaction.delete(key),
    async getMany(keys) {
      try {
        return await transaction.getMany(keys);
      } catch (error) {
        reads.failed = true;
        throw error;
      }
    },
    iterate: (range) => iterateNoting(transaction, range, reads),
  };
}

async function* iterateNoting(
  transaction: KVTransaction,
  range: KVRange,
  reads: { failed: boolean },
) {
  try {
    yield* transaction.iterate(range);
  } catch (error) {
    reads.failed = true;
    throw error;
  }
}
