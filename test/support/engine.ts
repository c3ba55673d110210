/** A database of the engine's over an in-memory store, and ways to look at what it gives. */

import type { MergeMemory } from '../../src/engine/merge/merge-memory.ts';
import type { HeldLimits } from '../../src/engine/records/held-size.ts';
import type { RowLimits } from '../../src/engine/records/row-size.ts';
import type { Snapshot } from '../../src/engine/snapshot/snapshot.ts';
import { SyncManager } from '../../src/engine/sync-manager.ts';
import type { CatalogLimits } from '../../src/engine/tables/catalog-size.ts';
import { createLogger } from '../../src/logging/logger.ts';
import type { WireChangeSet, WireCheckpoint } from '../../src/protocol/schemas.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { createTestWorld, type TestWorld } from './world.ts';

export interface TestEngine {
  manager: SyncManager;
  world: TestWorld;
  store: KVStore;
}

export interface TestEngineOptions {
  allowResurrection?: boolean;
  tombstoneTTL?: number;
  stepRows?: number;
  logPinMaxAgeMs?: number;
  catalogLimits?: CatalogLimits;
  heldLimits?: HeldLimits;
  rowLimits?: RowLimits;
  mergeMemory?: MergeMemory;
  store?: KVStore | undefined;
  world?: TestWorld;
}

export async function openEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  const { allowResurrection = true, tombstoneTTL = 1000, stepRows } = options;
  const { logPinMaxAgeMs = 1000 } = options;
  const world = options.world ?? createTestWorld();
  const store = options.store ?? (await createMemoryStorage().open('test'));
  const manager = await SyncManager.open({
    store,
    world,
    logger: createLogger('quereus:sync:manager'),
    allowResurrection,
    maxClockDriftMs: 60_000,
    tombstoneTTL,
    ...(stepRows === undefined ? {} : { stepRows }),
    logPinMaxAgeMs,
    ...(options.catalogLimits === undefined ? {} : { catalogLimits: options.catalogLimits }),
    ...(options.heldLimits === undefined ? {} : { heldLimits: options.heldLimits }),
    ...(options.rowLimits === undefined ? {} : { rowLimits: options.rowLimits }),
    ...(options.mergeMemory === undefined ? {} : { mergeMemory: options.mergeMemory }),
  });
  return { manager, world, store };
}

export interface ReadOptions {
  reader?: string;
  bytesMax?: number;
}

/** Everything after a position, as a reader gets it, page by page. */
export async function readAll(
  manager: SyncManager,
  sinceHLC?: string,
  { reader, bytesMax = 1_000_000 }: ReadOptions = {},
): Promise<WireChangeSet[]> {
  const changeSets: WireChangeSet[] = [];
  let after = await manager.log.cursorFor(sinceHLC);
  for (;;) {
    const page = await manager.log.page({ after, reader, bytesMax }, (json) => {
      changeSets.push(JSON.parse(Buffer.from(json).toString()));
    });
    after = page.end;
    if (!page.hasMore) return changeSets;
  }
}

export async function takeSnapshot(
  manager: SyncManager,
  checkpoint?: WireCheckpoint,
): Promise<Record<string, unknown>[]> {
  return readChunks(await manager.tables.snapshot(checkpoint));
}

export async function readChunks(snapshot: Snapshot): Promise<Record<string, unknown>[]> {
  const chunks: Record<string, unknown>[] = [];
  for await (const chunk of snapshot.chunks) chunks.push(JSON.parse(Buffer.from(chunk).toString()));
  await snapshot.close();
  return chunks;
}
