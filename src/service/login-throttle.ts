/**
 * Slows down who tries one credential after the other. Failures are counted against the address
 * that they come from, and against each site there:
 *
 *   an address   limits.failedLoginsPerMinute
 *   a site       a tenth of it, so that one device with an old token does not use up all the others have
 *
 * Beyond that nobody is asked, and the client is told when to come back. Many honest clients may
 * have one address, so a site that has been let in from there is still heard, until it fails itself.
 * An attacker can't make himself such sites while he is slowed down.
 *
 * Holds a bounded number of addresses and sites, and no timers: a count drains as time goes by.
 */

import { SyncError } from '../errors.ts';

export interface LoginAttempt {
  /** See `sourceOf`; without one nothing is counted. */
  source: string | undefined;
  site: string;
}

const MINUTE_MS = 60_000;
const SITES_PER_SOURCE = 10;
/** Attempts under way at once may all fail: so far above the limit is counted. */
const OVERSHOOT = 2;
const RETRY_MS_MIN = 1000;
/** Of addresses, of their sites, and of those that were let in. */
const REMEMBERED_MAX = 10_000;

export class LoginThrottle {
  readonly #perMinute: number;
  readonly #bySource: DrainingCounts;
  readonly #bySite: DrainingCounts;
  /** Sites at their addresses that were let in there, the last one last. */
  readonly #letIn = new Set<string>();

  /** @param now wall time in milliseconds */
  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#bySource = new DrainingCounts(perMinute, now);
    this.#bySite = new DrainingCounts(Math.ceil(perMinute / SITES_PER_SOURCE), now);
  }

  /** @throws SyncError RATE_LIMITED */
  demandRoom(attempt: LoginAttempt): void {
    const { source } = attempt;
    if (source === undefined) return;
    const place = toPlace(attempt);
    const known = this.#letIn.has(place);
    const waitMs = Math.max(this.#bySite.waitMs(place), known ? 0 : this.#bySource.waitMs(source));
    if (waitMs === 0) return;
    const limit = 'limits.failedLoginsPerMinute';
    const retryAfterMs = Math.max(RETRY_MS_MIN, Math.ceil(waitMs));
    const message = `too many logins have failed: ${limit} (${this.#perMinute}) of an address`;
    throw new SyncError('RATE_LIMITED', message, { retryAfterMs, limit });
  }

  succeeded(attempt: LoginAttempt): void {
    if (attempt.source === undefined) return;
    const place = toPlace(attempt);
    this.#letIn.delete(place);
    this.#letIn.add(place);
    if (this.#letIn.size > REMEMBERED_MAX) deleteFirst(this.#letIn);
  }

  /** The credentials were no good. */
  failed(attempt: LoginAttempt): void {
    if (attempt.source === undefined) return;
    const place = toPlace(attempt);
    this.#letIn.delete(place);
    this.#bySite.add(place);
    this.#bySource.add(attempt.source);
  }
}

/** No address has a space in it, nor has the text of a site. */
function toPlace({ source, site }: LoginAttempt): string {
  return `${source} ${site}`;
}

interface Count {
  level: number;
  atMs: number;
}

/** How much of each kind there was of late. */
class DrainingCounts {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** Whichever was added to last is the last. */
  readonly #counts = new Map<string, Count>();

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  add(key: string): void {
    const level = Math.min(this.#level(key) + 1, OVERSHOOT * this.#perMinute);
    this.#counts.delete(key);
    this.#counts.set(key, { level, atMs: this.#now() });
    if (this.#counts.size > REMEMBERED_MAX) deleteFirst(this.#counts);
  }

  /** How long until one more may come; 0 if it may now. */
  waitMs(key: string): number {
    const above = this.#level(key) + 1 - this.#perMinute;
    return above <= 0 ? 0 : (above * MINUTE_MS) / this.#perMinute;
  }

  #level(key: string): number {
    const count = this.#counts.get(key);
    if (count === undefined) return 0;
    // A clock that was set back lets nothing drain, and adds nothing.
    const passedMs = Math.max(0, this.#now() - count.atMs);
    const level = count.level - (passedMs * this.#perMinute) / MINUTE_MS;
    if (level > 0) return level;
    this.#counts.delete(key);
    return 0;
  }
}

function deleteFirst(collection: Set<string> | Map<string, unknown>): void {
  const first = collection.keys().next();
  if (!first.done) collection.delete(first.value);
}
