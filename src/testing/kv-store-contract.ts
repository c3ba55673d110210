/**
 * What the engine relies on in a store, as tests. Every storage runs them, also
 * those of other packages:
 *
 *     import { kvStoreContract } from 'sync-coordinator/testing';
 *     kvStoreContract({ name: 'my storage', open: async () => ({ storage, dispose }) });
 *
 * Depends on nothing but node:test and node:assert.
 */

import { describe } from 'node:test';
import type { Storage } from '../storage/kv-store.ts';
import { lifecycleContract } from './kv-store-lifecycle-contract.ts';
import { readContract } from './kv-store-read-contract.ts';
import { viewContract } from './kv-store-view-contract.ts';
import { writeContract } from './kv-store-write-contract.ts';

export interface OpenedStorage {
  storage: Storage;
  /** Called after the test, whatever became of it: closes the storage and removes its data. */
  dispose(): Promise<void>;
  /** For a persistent one: closes the storage and opens another on the same data. */
  reopen?(): Promise<Storage>;
}

export interface KVStoreContractOptions {
  /** What the tests are reported under. */
  name: string;
  /** Opens a storage that holds nothing yet. Each test has one of its own. */
  open(): Promise<OpenedStorage>;
  /** Data outlives the storage's `close`; what `open` gives has `reopen`. */
  persistent?: boolean;
  /**
   * Makes a database, which is closed, say that it has another format or name. For those
   * that note these in each store, as `src/storage/format.ts` does.
   */
  tamperFormat?(
    storage: Storage,
    databaseId: string,
    record: { format: number; databaseId: string },
  ): Promise<void>;
}

/** Registers the tests with node:test. */
export function kvStoreContract(options: KVStoreContractOptions): void {
  describe(`KVStore contract: ${options.name}`, () => {
    readContract(options);
    writeContract(options);
    viewContract(options);
    lifecycleContract(options);
  });
}
