/** The live sessions of all databases: so many at most, and of one user a share of them. */

import { SyncError } from '../errors/sync-error.ts';
import { Budget } from './budget.ts';
import type { Database } from './database-pool.ts';
import type { LiveSession } from './live-session.ts';
import { SharedSites } from './shared-sites.ts';

const OVERLOADED_RETRY_MS = 1000;

export class Sessions {
  readonly #max: number;
  readonly #budget: Budget;
  /** Site ids that several of them have. */
  readonly sharedSites = new SharedSites();
  /** With what gives back the place of each among those of its user. */
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

  /** @throws SyncError OVERLOADED when `limits.sessions` are there, or its user has a share of them */
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

  /** @returns whether it was there */
  remove(session: LiveSession, database: Database): boolean {
    session.end();
    database.sessions.delete(session);
    this.sharedSites.delete(session);
    this.#places.get(session)?.();
    return this.#places.delete(session);
  }
}
