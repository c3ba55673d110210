/**
 * Slows down who tries one credential after the other. Failures are counted against the address
 * that they come from, and against what was tried there:
 *
 *   an address    limits.failedLoginsPerMinute
 *   a proxy       ten times as many, if it is not trusted to name its clients
 *   credentials   a tenth of it, so that one device with an old token does not use up all the others have
 *   a user        a tenth of it, for newer credentials of a session: what strangers do is not its fault
 *
 * Beyond that nobody is asked, and the client is told when to come back. Attempts under way may all
 * fail, so no more of an address are under way at once than may still fail: the next ones wait.
 * Many honest clients may have one address, so credentials that were good there are heard whatever
 * else fails. Nothing goes by what an attacker can name, such as the site of somebody else.
 *
 * Holds a bounded number of addresses and credentials, these as hashes, and no timers: a count
 * drains as time goes by.
 */

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { SyncError } from '../errors/sync-error.ts';

export interface LoginAttempt {
  /** See `sourceOf`; without one, and without a proxy, nothing is counted. */
  source: string | undefined;
  /** See `unnamedProxyOf`: counted where there is no source, with more room, as it is of many clients. */
  proxy?: string | undefined;
  /** See `credentialsToHash`; without them there is nothing that could be known again. */
  credentials: string | undefined;
  /** Of a session that is open, who brings newer credentials. */
  renewed?: { userId: string | undefined };
}

/** An attempt that was let begin; to be ended once. */
export interface LoginUnderWay {
  succeeded(): void;
  /** The credentials were no good. */
  failed(): void;
  /** Nobody could tell. */
  gaveUp(): void;
}

/** What a hook may know somebody by; `undefined` if there is none of it. */
export function credentialsToHash(
  token: string | undefined,
  { authorization, cookie }: IncomingHttpHeaders,
): string | undefined {
  const shown = token ?? authorization;
  if (shown === undefined && cookie === undefined) return undefined;
  return createHash('sha256')
    .update(JSON.stringify([shown, cookie]))
    .digest('base64url');
}

const MINUTE_MS = 60_000;
const SHARES_PER_SOURCE = 10;
const SOURCES_PER_PROXY = 10;
/** What was good once is not held back, and may fail beyond the limit: so far above it is counted. */
const OVERSHOOT = 2;
const RETRY_MS_MIN = 1000;
/** Of addresses, of what failed there, and of what was let in. */
const REMEMBERED_MAX = 10_000;

const NOT_COUNTED: LoginUnderWay = {
  succeeded: () => undefined,
  failed: () => undefined,
  gaveUp: () => undefined,
};

export class LoginThrottle {
  readonly #perMinute: number;
  readonly #bySource: Failures;
  readonly #byProxy: Failures;
  readonly #byCredentials: Failures;
  readonly #byUser: Failures;
  /** Credentials at their addresses that were let in there, the last ones last. */
  readonly #letIn = new Set<string>();

  /** @param now wall time in milliseconds */
  constructor(perMinute: number, now: () => number) {
    const share = Math.ceil(perMinute / SHARES_PER_SOURCE);
    this.#perMinute = perMinute;
    this.#bySource = new Failures(perMinute, now);
    this.#byProxy = new Failures(SOURCES_PER_PROXY * perMinute, now);
    this.#byCredentials = new Failures(share, now);
    this.#byUser = new Failures(share, now);
  }

  /**
   * Waits while as many are under way from there as may still fail.
   * @param signal ends the wait
   * @throws SyncError RATE_LIMITED
   */
  async begin(attempt: LoginAttempt, signal?: AbortSignal): Promise<LoginUnderWay> {
    const { source = attempt.proxy, credentials, renewed } = attempt;
    if (source === undefined) return NOT_COUNTED;
    // No address has a space in it, nor has a hash.
    const own = credentials === undefined ? undefined : `${source} ${credentials}`;
    const shared = attempt.source === undefined ? this.#byProxy : this.#bySource;
    const failures = renewed === undefined ? shared : this.#byUser;
    const key = renewed === undefined ? source : `${source} ${toUserKey(renewed.userId)}`;
    for (;;) {
      const isKnown = own !== undefined && this.#letIn.has(own);
      const waitMs = Math.max(
        own === undefined ? 0 : this.#byCredentials.waitMs(own),
        isKnown ? 0 : failures.waitMs(key),
      );
      const isHeld = waitMs === 0 && !isKnown && signal?.aborted !== true;
      if (isHeld && !failures.enter(key)) {
        await failures.turn(key, signal);
        continue;
      }
      // Who was called and does not need the place leaves it to the next one.
      if (!isHeld) failures.callNext(key);
      if (waitMs > 0) throw this.#toRefusal(waitMs);
      return this.#toLogin(own, { failures, key, isHeld });
    }
  }

  #toLogin(own: string | undefined, { failures, key, isHeld }: Place): LoginUnderWay {
    const leave = () => {
      if (isHeld) failures.leave(key);
    };
    return {
      gaveUp: leave,
      succeeded: () => {
        if (own !== undefined) this.#remember(own);
        leave();
      },
      failed: () => {
        if (own !== undefined) {
          this.#letIn.delete(own);
          this.#byCredentials.add(own);
        }
        failures.add(key);
        leave();
      },
    };
  }

  #remember(own: string): void {
    this.#letIn.delete(own);
    this.#letIn.add(own);
    if (this.#letIn.size > REMEMBERED_MAX) deleteFirst(this.#letIn);
  }

  #toRefusal(waitMs: number): SyncError {
    const limit = 'limits.failedLoginsPerMinute';
    const retryAfterMs = Math.max(RETRY_MS_MIN, Math.ceil(waitMs));
    const message = `too many logins have failed: ${limit} (${this.#perMinute}) of an address`;
    return new SyncError('RATE_LIMITED', message, { retryAfterMs, limit });
  }
}

/** Where an attempt is counted, and whether it takes up one of the places there. */
interface Place {
  failures: Failures;
  key: string;
  isHeld: boolean;
}

function toUserKey(userId: string | undefined): string {
  return userId === undefined ? 'nobody' : `user ${userId}`;
}

interface Count {
  level: number;
  atMs: number;
}

/** How many have failed of late for each key, and how many are under way that may. */
class Failures {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** Whichever was added to last is the last. */
  readonly #counts = new Map<string, Count>();
  /** Not more of them than there are requests. */
  readonly #underWay = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>();

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

  /** @returns whether there is room for one that may fail; then it has to leave */
  enter(key: string): boolean {
    const underWay = this.#underWay.get(key) ?? 0;
    if (this.#level(key) + underWay + 1 > this.#perMinute) return false;
    this.#underWay.set(key, underWay + 1);
    return true;
  }

  leave(key: string): void {
    const left = (this.#underWay.get(key) ?? 0) - 1;
    if (left > 0) this.#underWay.set(key, left);
    else this.#underWay.delete(key);
    this.callNext(key);
  }

  /** Until one has left; whoever is called either enters, waits again, or calls the next one. */
  turn(key: string, signal: AbortSignal | undefined): Promise<void> {
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting);
    return new Promise((resolve) => {
      const go = () => {
        signal?.removeEventListener('abort', go);
        waiting.delete(go);
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
        resolve();
      };
      waiting.add(go);
      signal?.addEventListener('abort', go);
    });
  }

  callNext(key: string): void {
    const next = this.#waiting.get(key)?.values().next();
    if (next?.done === false) next.value();
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
