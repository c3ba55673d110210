/** A database of the pool: who has it open, and which database gives way to another one. */

import type { KVStore } from '../../storage/kv-store.ts';
import type { OpenDatabase } from '../access/open-database.ts';
import type { Budget } from '../budgets/budget.ts';
import type { SessionHub } from '../delivery/session-hub.ts';
import type { Upkeep } from './database-upkeep.ts';

export interface Database extends OpenDatabase {
  readonly sessions: SessionHub;
}

export type OpenedDatabase = Database & { store: KVStore };

export class PoolEntry {
  readonly id: string;
  readonly opening: Promise<OpenedDatabase>;
  leases = 0;
  /** By holder. The leases of one holder take one place. */
  readonly leasesByHolder = new Map<string, number>();
  /** The holder of the last lease. */
  lastHolder: string | undefined;
  lastUsed = 0;
  idleTimer: NodeJS.Timeout | undefined;
  database: Database | undefined;
  /** Set once the database is open. */
  upkeep: Upkeep | undefined;
  /** Resolves once it is closed, however that went; `undefined` while nobody closes it. */
  closing: Promise<void> | undefined;
  /** What its catalog takes of the memory, see `catalog-memory.ts`. */
  catalogBytes = 0;

  constructor(id: string, open: (entry: PoolEntry) => Promise<OpenedDatabase>) {
    this.id = id;
    this.opening = open(this);
  }

  /** @param budget of which the holder takes one */
  takePlace(holder: string | undefined, budget: Budget): void {
    if (holder === undefined) return;
    this.lastHolder = holder;
    const leases = this.leasesByHolder.get(holder) ?? 0;
    if (leases === 0) budget.take(holder);
    this.leasesByHolder.set(holder, leases + 1);
  }

  /** @param budget to which the last lease of the holder gives it back */
  givePlaceBack(holder: string | undefined, budget: Budget): void {
    const leases = holder === undefined ? undefined : this.leasesByHolder.get(holder);
    if (holder === undefined || leases === undefined) return;
    if (leases > 1) {
      this.leasesByHolder.set(holder, leases - 1);
      return;
    }
    this.leasesByHolder.delete(holder);
    budget.give(holder);
  }

  /** The database is closed, whoever has leases. */
  givePlacesBack(budget: Budget): void {
    for (const holder of this.leasesByHolder.keys()) budget.give(holder);
    this.leasesByHolder.clear();
  }
}

type Named = [id: string, entry: PoolEntry];

/**
 * The idle database to close when room is needed: the least recently used one of the holder with
 * the most idle databases. So a client that opens many databases closes only its own.
 */
function idlest(entries: Iterable<Named>): Named | undefined {
  const idle = [...entries].filter(([, { leases }]) => leases === 0);
  const left = new Map<string | undefined, number>();
  for (const [, { lastHolder }] of idle) left.set(lastHolder, (left.get(lastHolder) ?? 0) + 1);
  const most = Math.max(...left.values());
  const candidates = idle.filter(([, { lastHolder }]) => left.get(lastHolder) === most);
  return candidates.toSorted(([, a], [, b]) => a.lastUsed - b.lastUsed)[0];
}

/** The database to close for a holder that wants one more: an idle one, or one in use by who gives way. */
export function inTheWay(
  entries: Iterable<Named>,
  budget: Budget,
  holder: string | undefined,
): Named | undefined {
  const idle = idlest(entries);
  const giver = budget.giverTo(holder);
  if (idle !== undefined || giver === undefined) return idle;
  const own = [...entries].filter(([, { database, leasesByHolder, leases }]) => {
    return database !== undefined && leasesByHolder.get(giver) === leases;
  });
  return own.toSorted(([, a], [, b]) => a.lastUsed - b.lastUsed)[0];
}
