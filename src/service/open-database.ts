import type { SyncManager } from '../engine/sync-manager.ts';

/** A database that somebody holds open. */
export interface OpenDatabase {
  readonly id: string;
  readonly manager: SyncManager;
  /** Whose it is counted as (see `budget.ts`); nobody's, if the server itself holds it. */
  readonly holder?: string | undefined;
}

/** A database that is opened when it is needed: not before its client is known to be allowed to use it. */
export interface DatabaseAccess {
  readonly id: string;
  open(): Promise<OpenDatabase>;
}
