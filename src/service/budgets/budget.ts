/**
 * How much one user may take of something that all share. A client without a user id is counted by
 * its address, since it can invent any number of site ids.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { addressToSource } from '../../hooks/client-source.ts';
import type { ClientIdentity } from '../../hooks/types.ts';

const RETRY_MS = 1000;

/** The user or address for which a client's share is counted. */
export function holderOf(
  { userId }: Partial<ClientIdentity>,
  remoteAddress: string | undefined,
): string {
  return userId === undefined ? `address ${addressToSource(remoteAddress)}` : `user ${userId}`;
}

export interface BudgetOptions {
  /** The limit that all share. */
  limit: LimitName;
  /** The value of that limit. */
  max: number;
  /** `limits.sharePerUser`, in percent. */
  sharePerUser: number;
}

export class Budget {
  readonly #options: BudgetOptions;
  readonly #takenByHolder = new Map<string, number>();

  constructor(options: BudgetOptions) {
    this.#options = options;
  }

  /** The most that one holder may take; at least 1. */
  get max(): number {
    const { max, sharePerUser } = this.#options;
    return Math.max(1, Math.floor((max * sharePerUser) / 100));
  }

  takenBy(holder: string): number {
    return this.#takenByHolder.get(holder) ?? 0;
  }

  /** False for a holder that may take everything: it meets the limit itself. */
  isSpentBy(holder: string): boolean {
    return this.max < this.#options.max && this.takenBy(holder) >= this.max;
  }

  /**
   * When all is taken: the holder that gives one up to another, the one that has most. It has at
   * least two more, so that nobody has to give it back at once.
   */
  giverTo(holder: string | undefined): string | undefined {
    if (holder === undefined) return undefined;
    let most = this.takenBy(holder) + 1;
    let giver: string | undefined;
    for (const [other, taken] of this.#takenByHolder) {
      if (taken <= most) continue;
      most = taken;
      giver = other;
    }
    return giver;
  }

  /** @throws SyncError OVERLOADED when the holder has taken its share */
  demandRoom(holder: string | undefined): void {
    if (holder === undefined || !this.isSpentBy(holder)) return;
    const { limit, max, sharePerUser } = this.#options;
    throw new SyncError(
      'OVERLOADED',
      `this user or address has its share of ${limit}: limits.sharePerUser (${sharePerUser} %) of ${max}`,
      { retryAfterMs: RETRY_MS, limit: 'limits.sharePerUser' },
    );
  }

  /**
   * @param holder `undefined` for the server itself, which has no bound
   * @throws SyncError as `demandRoom`
   */
  take(holder: string | undefined): void {
    this.demandRoom(holder);
    if (holder !== undefined) this.count(holder);
  }

  /** Takes one, whether there is room or not. */
  count(holder: string): void {
    this.#takenByHolder.set(holder, this.takenBy(holder) + 1);
  }

  /** Gives one back. To be called once for each that was taken. */
  give(holder: string | undefined): void {
    if (holder === undefined) return;
    const left = this.takenBy(holder) - 1;
    if (left > 0) this.#takenByHolder.set(holder, left);
    else this.#takenByHolder.delete(holder);
  }
}
