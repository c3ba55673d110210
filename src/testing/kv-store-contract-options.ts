/** How the KVStore contract opens a storage. */

import type { Storage } from '../storage/kv-store.ts';

export interface OpenedStorage {
  storage: Storage;
  /** Called after each test, passed or failed: closes the storage and removes its data. */
  dispose(): Promise<void>;
  /** For a persistent storage: closes it, and opens another one on the same data. */
  reopen?(): Promise<Storage>;
}

export interface KVStoreContractOptions {
  /** The name under which the tests are reported. */
  name: string;
  /** Opens an empty storage. Each test has one of its own. */
  open(): Promise<OpenedStorage>;
  /** Whether data outlives the storage's `close`; then the result of `open` has `reopen`. */
  persistent?: boolean;
  /**
   * Writes another format or name into a closed database. For storages that record these in each
   * store, as `src/storage/format.ts` does.
   */
  tamperFormat?(
    storage: Storage,
    databaseId: string,
    record: { format: number; databaseId: string },
  ): Promise<void>;
}
