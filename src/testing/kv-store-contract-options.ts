/** What the KVStore contract is told of a storage. */

import type { Storage } from '../storage/kv-store.ts';

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
