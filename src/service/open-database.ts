import type { SyncManager } from '../engine/sync-manager.ts';

/** A database that somebody holds open. */
export interface OpenDatabase {
  readonly id: string;
  readonly manager: SyncManager;
}
