/**
 * The sessions of all databases, bounded by `limits.sessions` in total and by a share for each
 * user.
 */

import { SyncError } from '../errors/sync-error.ts';
import { Budget } from './budget.ts';
import type { Database } from './database-pool.ts';
import type { LiveSession } from './live-session.ts';
import { SharedSites } from './shared-sites.ts';

const OVERLOADED_RETRY_MS = 1000;

export class Sessions {
  readonly #max: number;
  readonly #budget: Budget;
  /** Site ids that several sessions have. */
  readonly sharedSites = new SharedSites();
  /** For each session, the function that gives back its user's share. */
  readonly #places = new Map<LiveSession, () => void>();

  /** @param limits of the configuration */
  constructor({ sessions: max, sharePerUser }: { sessions: number; sharePerUser: number }) {
    this.#max = max;
    this.#budget = new Budget({ limit: 'limits.sessions', max, sharePerUser });
  }

  get size(): number {
    return this.#places.size;
  }

  [Symbol.iterator](): Iterator<LiveSession> {
    return this.#places.keys();
  }

  /** @throws SyncError OVERLOADED when `limits.sessions`, or the share of its user, is taken */
  add(session: LiveSession, database: Database): void {
    if (this.#places.size >= this.#max) {
      throw new SyncError('OVERLOADED', `limits.sessions (${this.#max}) clients are connected`, {
        retryAfterMs: OVERLOADED_RETRY_MS,
        limit: 'limits.sessions',
      });
    }
    this.#places.set(session, this.#budget.take(database.holder));
    database.sessions.add(session);
    this.sharedSites.add(session);
  }

  /** @returns whether the session was there */
  remove(session: LiveSession, database: Database): boolean {
    session.end();
    database.sessions.delete(session);
    this.sharedSites.delete(session);
    this.#places.get(session)?.();
    return this.#places.delete(session);
  }
}
