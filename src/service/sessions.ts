/**
 * The sessions of all databases, bounded by `limits.sessions` in total and by a share for each
 * user.
 */

import { SyncError } from '../errors/sync-error.ts';
import { Budget } from './budgets/budget.ts';
import type { Database } from './databases/pool-entry.ts';
import type { LiveSession } from './delivery/live-session.ts';
import { SharedSites } from './delivery/shared-sites.ts';

const OVERLOADED_RETRY_MS = 1000;

export class Sessions {
  readonly #max: number;
  readonly #budget: Budget;
  /** Site ids that several sessions have. */
  readonly sharedSites = new SharedSites();
  /** The oldest session comes first. */
  readonly #databases = new Map<LiveSession, Database>();

  /** @param limits of the configuration */
  constructor({ sessions: max, sharePerUser }: { sessions: number; sharePerUser: number }) {
    this.#max = max;
    this.#budget = new Budget({ limit: 'limits.sessions', max, sharePerUser });
  }

  get size(): number {
    return this.#databases.size;
  }

  [Symbol.iterator](): Iterator<LiveSession> {
    return this.#databases.keys();
  }

  /**
   * When all places are taken: the oldest session of the user who has most, if that gives way.
   * @throws SyncError OVERLOADED when `limits.sessions`, or the share of its user, is taken
   */
  inTheWayOf({ holder }: Database): LiveSession | undefined {
    this.#budget.demandRoom(holder);
    if (this.#databases.size < this.#max) return undefined;
    const giver = this.#budget.giverTo(holder);
    for (const [session, { holder }] of this.#databases) {
      if (giver !== undefined && holder === giver) return session;
    }
    throw new SyncError('OVERLOADED', `limits.sessions (${this.#max}) clients are connected`, {
      retryAfterMs: OVERLOADED_RETRY_MS,
      limit: 'limits.sessions',
    });
  }

  /** Nobody may be in the way of it. */
  add(session: LiveSession, database: Database): void {
    this.#budget.take(database.holder);
    this.#databases.set(session, database);
    database.sessions.add(session);
    this.sharedSites.add(session);
  }

  /** @returns whether the session was there */
  remove(session: LiveSession): boolean {
    const database = this.#databases.get(session);
    session.end();
    if (database === undefined) return false;
    this.#databases.delete(session);
    this.#budget.give(database.holder);
    database.sessions.delete(session);
    this.sharedSites.delete(session);
    return true;
  }
}
