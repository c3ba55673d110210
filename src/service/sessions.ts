/**
 * The sessions of all databases, bounded by `limits.sessions` in total and by a share for each
 * user.
 */

import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { HookChain } from '../hooks/chain/chain.ts';
import { Budget } from './budgets/budget.ts';
import type { Database } from './databases/pool-entry.ts';
import type { LiveSession } from './delivery/live-session.ts';
import { SharedSites } from './delivery/shared-sites.ts';

const OVERLOADED_RETRY_MS = 1000;

export interface SessionsOptions {
  /** `limits.sessions` */
  max: number;
  /** `limits.sharePerUser` */
  sharePerUser: number;
  /** Are told of clients that have gone. */
  hooks: Pick<HookChain, 'clientDisconnect'>;
  onLimit(limit: LimitName): void;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #budget: Budget;
  /** Site ids that several sessions have. */
  readonly sharedSites = new SharedSites();
  /** The oldest session comes first. */
  readonly #databases = new Map<LiveSession, Database>();

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#budget = new Budget({ limit: 'limits.sessions', ...options });
  }

  get size(): number {
    return this.#databases.size;
  }

  [Symbol.iterator](): Iterator<LiveSession> {
    return this.#databases.keys();
  }

  /** When all places are taken: the oldest session of the user who has most, if that gives way. */
  #inTheWayOf({ holder }: Database): LiveSession | undefined {
    const { max } = this.#options;
    this.#budget.demandRoom(holder);
    if (this.#databases.size < max) return undefined;
    const giver = this.#budget.giverTo(holder);
    for (const [session, { holder }] of this.#databases) {
      if (giver !== undefined && holder === giver) return session;
    }
    throw new SyncError('OVERLOADED', `limits.sessions (${max}) clients are connected`, {
      retryAfterMs: OVERLOADED_RETRY_MS,
      limit: 'limits.sessions',
    });
  }

  /** @throws SyncError OVERLOADED when `limits.sessions`, or the share of its user, is taken */
  add(session: LiveSession, database: Database): void {
    const inTheWay = this.#inTheWayOf(database);
    if (inTheWay !== undefined) {
      this.#options.onLimit('limits.sessions');
      inTheWay.disconnect('OVERLOADED');
      this.remove(inTheWay);
    }
    this.#budget.take(database.holder);
    this.#databases.set(session, database);
    database.sessions.add(session);
    this.sharedSites.add(session);
  }

  /** A second call does nothing. */
  remove(session: LiveSession): void {
    const database = this.#databases.get(session);
    session.end();
    if (database === undefined) return;
    this.#databases.delete(session);
    this.#budget.give(database.holder);
    database.sessions.delete(session);
    this.sharedSites.delete(session);
    this.#options.hooks.clientDisconnect(session.joinedAs);
  }
}
