/** Opens what the pool has of a database: its store, the engine on it, and its sessions. */

import type { CoordinatorConfig } from '../../config/schema.ts';
import { MergeMemory } from '../../engine/merge/merge-memory.ts';
import { ReplacedError } from '../../engine/records/head.ts';
import { SyncManager } from '../../engine/sync-manager.ts';
import type { CatalogRoom } from '../../engine/tables/catalog-memory.ts';
import type { World } from '../../engine/world.ts';
import { createLogger } from '../../logging/logger.ts';
import { openUnlessAbsent } from '../../storage/absent-store.ts';
import type { KVStore, Storage } from '../../storage/kv-store.ts';
import { SessionHub } from '../delivery/session-hub.ts';
import { DatabaseCount } from './database-count.ts';
import { isOutOfFiles } from './open-files.ts';
import type { OpenedDatabase } from './pool-entry.ts';

export interface OpenerOptions {
  storage: Storage;
  config: CoordinatorConfig;
  world: World;
  /** Counts change sets that were pushed to sessions. */
  pushed(changeSets: number): void;
}

/** What a database has of the pool. */
interface OpenedUse {
  catalogRoom: CatalogRoom;
  /** Called when the database has to be closed and opened again: see `DatabasePool`. */
  replace(): void;
}

export class DatabaseOpener {
  readonly #options: OpenerOptions;
  readonly #makeFiles: (id: string) => Promise<void> | undefined;
  readonly #count: DatabaseCount;
  readonly #mergeMemory: MergeMemory;
  /**
   * The last attempt to open failed because too many files are open, and no database was closed
   * since.
   */
  isOutOfFiles = false;

  /**
   * @param makeFiles called for a database that cannot be opened while so many files are open. Closes another
   *   one; `undefined` if there is none
   */
  constructor(options: OpenerOptions, makeFiles: (id: string) => Promise<void> | undefined) {
    this.#options = options;
    this.#makeFiles = makeFiles;
    const { storage, config } = options;
    this.#count = new DatabaseCount(storage, config.storage.maxDatabases);
    this.#mergeMemory = new MergeMemory(config.limits);
  }

  async open(id: string, { catalogRoom, replace }: OpenedUse): Promise<OpenedDatabase> {
    const { storage, config, world, pushed } = this.#options;
    const { store, seed } = await openUnlessAbsent(storage, id, (isNew) =>
      isNew ? this.#count.oneMore(() => this.#openStore(id)) : this.#openStore(id),
    );
    const { sync, limits } = config;
    const { allowResurrection, maxClockDriftMs, tombstoneTTL, logPinMaxAgeMs } = sync;
    try {
      const manager = await SyncManager.open({
        ...{ store, world, catalogRoom, mergeMemory: this.#mergeMemory, newSiteId: seed },
        logger: createLogger('quereus:sync:manager'),
        ...{ allowResurrection, maxClockDriftMs, tombstoneTTL, logPinMaxAgeMs },
        ...{ catalogLimits: limits, heldLimits: limits, rowLimits: limits },
        onStoreFailed: (error) => {
          if (!store.recovers || error instanceof ReplacedError) replace();
        },
      });
      return { id, manager, store, sessions: new SessionHub(manager, pushed) };
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** While too many files are open, closes idle databases one by one and tries again. */
  async #openStore(id: string): Promise<KVStore> {
    for (;;) {
      try {
        const store = await this.#options.storage.open(id);
        this.isOutOfFiles = false;
        return store;
      } catch (error) {
        if (!isOutOfFiles(error)) throw error;
        const closing = this.#makeFiles(id);
        this.isOutOfFiles = closing === undefined;
        if (closing === undefined) throw error;
        await closing.catch(() => undefined);
      }
    }
  }
}
