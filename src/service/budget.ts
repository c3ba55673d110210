/**
 * What one user may take of something that all share. Whom nobody has named is counted by address, since
 * a site id is free to invent.
 */

import { isIPv6 } from 'node:net';
import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { ClientIdentity } from '../hooks/types.ts';

const RETRY_MS = 1000;
const IPV6_GROUPS = 8;
/** What one subscriber is given at least; the rest of an address is free to choose. */
const IPV6_NETWORK_GROUPS = 4;

/** Whose address it is: that of an IPv6 network of 64 bits, which its owner has all of. */
export function addressToSource(address = ''): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : IPV6_GROUPS - groups.length - tail.split(':').length;
  const network = groups.concat(Array(Math.max(0, missing)).fill('0'), tail?.split(':') ?? []);
  return network.slice(0, IPV6_NETWORK_GROUPS).join(':').toLowerCase();
}

/** Who is to be counted for what a client takes. */
export function holderOf(
  { userId }: Partial<ClientIdentity>,
  remoteAddress: string | undefined,
): string {
  return userId === undefined ? `address ${addressToSource(remoteAddress)}` : `user ${userId}`;
}

export interface BudgetOptions {
  /** What all share. */
  limit: LimitName;
  /** How much of it there is. */
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

  /** The most that one may take; at least 1. */
  get max(): number {
    const { max, sharePerUser } = this.#options;
    return Math.max(1, Math.floor((max * sharePerUser) / 100));
  }

  takenBy(holder: string): number {
    return this.#takenByHolder.get(holder) ?? 0;
  }

  /** Whoever may take all there is meets the limit itself. */
  isSpentBy(holder: string): boolean {
    return this.max < this.#options.max && this.takenBy(holder) >= this.max;
  }

  /** @throws SyncError OVERLOADED when this one has taken all that it may */
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
   * @param holder the server itself, which has no bound, where there is none
   * @returns gives it back, once
   * @throws SyncError as `demandRoom`
   */
  take(holder: string | undefined): () => void {
    this.demandRoom(holder);
    return holder === undefined ? () => undefined : this.count(holder);
  }

  /** Takes it, whether there is room or not. @returns gives it back, once */
  count(holder: string): () => void {
    this.#takenByHolder.set(holder, this.takenBy(holder) + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      const left = this.takenBy(holder) - 1;
      if (left > 0) this.#takenByHolder.set(holder, left);
      else this.#takenByHolder.delete(holder);
    };
  }
}
