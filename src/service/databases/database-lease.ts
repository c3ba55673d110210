/** Keeps a database of the pool open. */

import type { SyncManager } from '../../engine/sync-manager.ts';
import type { DatabaseAccess } from '../access/open-database.ts';
import type { SessionHub } from '../delivery/session-hub.ts';
import type { Database, PoolEntry } from './pool-entry.ts';

/** Keeps a database open until released. */
export interface DatabaseLease extends Database, DatabaseAccess {
  release(): void;
}

export class Lease implements DatabaseLease {
  readonly entry: PoolEntry;
  readonly id: string;
  readonly holder: string | undefined;
  readonly manager: SyncManager;
  readonly sessions: SessionHub;
  /** `undefined` once it was released. */
  #giveBack: ((lease: Lease) => void) | undefined;

  constructor(
    entry: PoolEntry,
    { id, manager, sessions }: Database,
    holder: string | undefined,
    giveBack: (lease: Lease) => void,
  ) {
    this.entry = entry;
    this.id = id;
    this.holder = holder;
    this.manager = manager;
    this.sessions = sessions;
    this.#giveBack = giveBack;
  }

  async open(): Promise<this> {
    return this;
  }

  release(): void {
    this.#giveBack?.(this);
    this.#giveBack = undefined;
  }
}
