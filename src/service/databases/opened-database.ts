/** What the pool opens on a store: the engine, and the sessions of the database. */

import type { CoordinatorConfig } from '../../config/schema.ts';
import type { MergeMemory } from '../../engine/merge/merge-memory.ts';
import { SyncManager } from '../../engine/sync-manager.ts';
import type { World } from '../../engine/world.ts';
import type { SyncError } from '../../errors/sync-error.ts';
import { createLogger } from '../../logging/logger.ts';
import type { KVStore } from '../../storage/kv-store.ts';
import { SessionHub } from '../delivery/session-hub.ts';
import type { OpenedDatabase } from './pool-entry.ts';

interface OpenOptions {
  config: CoordinatorConfig;
  world: World;
  mergeMemory: MergeMemory;
  /** The site id of a database that has none yet. Default: a random one. */
  newSiteId: Uint8Array | undefined;
  onStoreFailed(error: SyncError): void;
  /** Counts change sets that were pushed to sessions. */
  pushed(changeSets: number): void;
}

/** Closes the store if what it holds cannot be opened. */
export async function openDatabase(
  id: string,
  store: KVStore,
  { config: { sync, limits }, pushed, ...options }: OpenOptions,
): Promise<OpenedDatabase> {
  const { allowResurrection, maxClockDriftMs, tombstoneTTL, logPinMaxAgeMs } = sync;
  try {
    const manager = await SyncManager.open({
      ...{ store, ...options, logger: createLogger('quereus:sync:manager') },
      ...{ allowResurrection, maxClockDriftMs, tombstoneTTL, logPinMaxAgeMs },
      ...{ catalogLimits: limits, heldLimits: limits, rowLimits: limits },
    });
    return { id, manager, store, sessions: new SessionHub(manager, pushed) };
  } catch (error) {
    await store.close();
    throw error;
  }
}
