/**
 * Makes a `Storage` from a way to open one store: checks ids and formats, opens each store once,
 * closes in order.
 */

import { SyncError } from '../errors/sync-error.ts';
import { assertDatabaseId } from './database-id.ts';
import { ensureFormat } from './format.ts';
import type { AbsentDatabase, KVStore, Storage, StorageHealth } from './kv-store.ts';

export interface StorageParts {
  description: string;
  /** @param databaseId valid, and not open now */
  open(databaseId: string): KVStore | Promise<KVStore>;
  list?(): Promise<string[]>;
  /** @param databaseId valid */
  has?(databaseId: string): Promise<boolean>;
  /** @param databaseId valid */
  absentDatabase?(databaseId: string): Promise<AbsentDatabase>;
  filesPerDatabase?: number;
  health?: StorageHealth;
  isShared?: boolean;
  /** Called once, after the last store was closed. */
  close(): void | Promise<void>;
  /** See `StorageModuleOptions`. */
  existing?: boolean;
}

export function createStorage({
  description,
  list,
  has,
  absentDatabase,
  filesPerDatabase,
  health,
  isShared,
  existing,
  ...parts
}: StorageParts): Storage {
  /** Includes stores that are being opened, so that closing waits for them. */
  const storesById = new Map<string, Promise<KVStore>>();
  let closing: Promise<void> | undefined;

  async function open(databaseId: string): Promise<KVStore> {
    const store = await parts.open(databaseId);
    const close = async () => {
      await store.close();
      if (storesById.get(databaseId) === opening) storesById.delete(databaseId);
    };
    const opening = storesById.get(databaseId);
    return ensureFormat({ ...store, close }, databaseId, { existing });
  }

  async function closeAll(): Promise<void> {
    const closings = [...storesById.values()].map((store) => store.then((it) => it.close()));
    await Promise.allSettled(closings);
    await parts.close();
  }

  function demandUsable(databaseId: string): void {
    assertDatabaseId(databaseId);
    if (closing !== undefined) throw new SyncError('STORE_UNAVAILABLE', 'the storage is closed');
  }

  /** Wraps `ask`, so that it first checks the id, and that the storage is open. */
  function demanding<T>(
    ask: ((databaseId: string) => Promise<T>) | undefined,
  ): ((databaseId: string) => Promise<T>) | undefined {
    if (ask === undefined) return undefined;
    return async (databaseId) => {
      demandUsable(databaseId);
      return ask(databaseId);
    };
  }

  return {
    description,
    list,
    has: demanding(has),
    absentDatabase: demanding(absentDatabase),
    filesPerDatabase,
    health,
    isShared,
    async open(databaseId) {
      demandUsable(databaseId);
      if (storesById.has(databaseId)) throw new TypeError(`${databaseId} is already open`);
      // `open` must begin only after the entry is set, since it reads that.
      const opening = Promise.resolve().then(() => open(databaseId));
      storesById.set(databaseId, opening);
      return opening.catch((error) => {
        if (storesById.get(databaseId) === opening) storesById.delete(databaseId);
        throw error;
      });
    },
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}
