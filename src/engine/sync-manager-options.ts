/** What one database is opened with, and what is meant where nothing is said. */

import { SITE_ID_BYTES } from '../clock/site-id.ts';
import type { SyncError } from '../errors/sync-error.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { MergeMemory, UNLIMITED_MERGES } from './merge/merge-memory.ts';
import type { MergeContext } from './merge/merge-transaction.ts';
import { STEP_ROWS_MAX } from './merge/step-budget.ts';
import type { Identity } from './records/head.ts';
import { type HeldLimits, UNLIMITED_HELD } from './records/held-size.ts';
import { Pace } from './records/pace.ts';
import { type RowLimits, UNLIMITED_ROW } from './records/row-size.ts';
import { type CatalogRoom, UNLIMITED_ROOM } from './tables/catalog-memory.ts';
import { type CatalogLimits, UNLIMITED_CATALOG } from './tables/catalog-size.ts';
import type { World } from './world.ts';

export interface SyncManagerOptions {
  store: KVStore;
  world: World;
  logger: Logger;
  allowResurrection: boolean;
  maxClockDriftMs: number;
  tombstoneTTL: number;
  /** Rows of a dropped table that one transaction reads at most; default `STEP_ROWS_MAX`. */
  stepRows?: number;
  logPinMaxAgeMs: number;
  /** The site id of a database that has none yet, of `SITE_ID_BYTES`. Default: a random one. */
  newSiteId?: Uint8Array | undefined;
  /** Default: none. */
  catalogLimits?: CatalogLimits;
  /** The room for its catalog beside those of other databases. Default: no bound. */
  catalogRoom?: CatalogRoom;
  heldLimits?: HeldLimits;
  /** Default: none. */
  rowLimits?: RowLimits;
  /** Shared by all databases of the process. Default: no bound. */
  mergeMemory?: MergeMemory;
  /**
   * A write to the store has failed, and others may fail until it is opened again; or the store
   * holds another database by now (a `ReplacedError`), and every write will fail.
   */
  onStoreFailed?(error: SyncError): void;
}

export function newSiteIdOf({ newSiteId, world }: SyncManagerOptions): Uint8Array {
  return newSiteId ?? world.randomBytes(SITE_ID_BYTES);
}

export function mergeMemoryOf({ mergeMemory }: SyncManagerOptions): MergeMemory {
  return mergeMemory ?? new MergeMemory(UNLIMITED_MERGES);
}

export function catalogRoomOf({
  catalogRoom = UNLIMITED_ROOM,
}: Pick<SyncManagerOptions, 'catalogRoom'>): CatalogRoom {
  return catalogRoom;
}

/** What merging goes by, but for the memory for its rows, which is of each group. */
export function mergeContextOf(
  { world, allowResurrection, ...given }: SyncManagerOptions,
  identity: Identity,
): Omit<MergeContext, 'takeRows'> {
  return {
    identity,
    allowResurrection,
    stepRows: given.stepRows ?? STEP_ROWS_MAX,
    heldLimits: given.heldLimits ?? UNLIMITED_HELD,
    catalogLimits: given.catalogLimits ?? UNLIMITED_CATALOG,
    catalogRoom: catalogRoomOf(given),
    rowLimits: given.rowLimits ?? UNLIMITED_ROW,
    pace: new Pace(() => world.yield()),
    newDemand: () => world.randomUuid(),
    now: () => world.now(),
    yield: () => world.yield(),
  };
}
