/** Counts the databases of a storage, so that there are never more than `storage.maxDatabases`. */

import { SyncError } from '../../errors/sync-error.ts';
import type { Storage } from '../../storage/kv-store.ts';

/** Databases are rarely removed, so a refused client need not come back sooner. */
const RETRY_MS = 60_000;
/** A count of this age is renewed if other servers share the storage, or the bound is met. */
const RECOUNT_MS = 60_000;

export class DatabaseCount {
  readonly #storage: Pick<Storage, 'list' | 'isShared'>;
  readonly #max: number;
  #count = 0;
  #countedAt = Number.NEGATIVE_INFINITY;
  #counting: Promise<void> | undefined;

  /** A storage that cannot list its databases has no bound. */
  constructor(storage: Pick<Storage, 'list' | 'isShared'>, max: number) {
    this.#storage = storage;
    this.#max = max;
  }

  /**
   * @param make creates a database
   * @throws SyncError OVERLOADED if the bound is met; what `make` throws
   */
  async oneMore<T>(make: () => Promise<T>): Promise<T> {
    const isStale = performance.now() - this.#countedAt >= RECOUNT_MS;
    const isUnknown = this.#countedAt === Number.NEGATIVE_INFINITY;
    if (isUnknown || (isStale && (this.#storage.isShared || this.#count >= this.#max))) {
      this.#counting ??= this.#recount().finally(() => {
        this.#counting = undefined;
      });
      await this.#counting;
    }
    if (this.#count >= this.#max) {
      throw new SyncError('OVERLOADED', `storage.maxDatabases (${this.#max}) databases are there`, {
        retryAfterMs: RETRY_MS,
        limit: 'storage.maxDatabases',
      });
    }
    this.#count++;
    try {
      return await make();
    } catch (error) {
      this.#count--;
      throw error;
    }
  }

  async #recount(): Promise<void> {
    const { list } = this.#storage;
    this.#count = list === undefined ? 0 : (await list()).length;
    this.#countedAt = performance.now();
  }
}
