/**
 * Slows down clients that try one credential after the other. Failures count for the source address
 * and for what was tried from there, each with a limit a minute:
 *
 *   an address    limits.failedLoginsPerMinute
 *   a proxy       ten times that, if it is not trusted to name its clients
 *   credentials   a tenth of it, so that a device with an old token does not use up its address
 *   a user        a tenth of it, when a session renews: failures of others do not count for it
 *
 * Beyond a limit the hooks are not asked, and the client is told when to come back. Attempts under
 * way may all fail, so as many are admitted as may still fail; the others wait. Who hangs up has
 * tried all the same: its place is free, and its failure counted, when the hooks have answered. Many
 * honest clients may share an address, so credentials that were accepted from there are always
 * checked. Nothing is counted by what an attacker can choose, such as a site id.
 *
 * Holds a bounded number of addresses and of hashed credentials, and no timers: a count decreases
 * with time.
 */

import { createHash } from 'node:crypto';
import { SyncError } from '../../errors/sync-error.ts';
import { type Origin, sourceOf, unnamedProxyOf } from '../../hooks/client-source.ts';
import { LetIn } from './let-in.ts';

export interface LoginAttempt {
  /** See `sourceOf`. Without a source and without a proxy nothing is counted. */
  source: string | undefined;
  /**
   * See `unnamedProxyOf`. Counted if there is no source, with a higher limit, since it stands for
   * many clients.
   */
  proxy?: string | undefined;
  /** A hash; `undefined` if there are none to recognise. */
  credentials: string | undefined;
  /** A hash of the part of them to which nothing can be added: without cookies. */
  token?: string | undefined;
  /** The user of an open session that renews its credentials. */
  renewed?: { userId: string | undefined };
}

/** An attempt that was admitted. One of its methods is to be called, once the hooks have answered. */
export interface LoginUnderWay {
  /** Holds a place, so that it has to be looked at to its end, also if its client hangs up. */
  isGuess: boolean;
  /** @param userId whose credentials they are, if the hooks name a user */
  succeeded(userId: string | undefined): void;
  /** The credentials were no good. */
  failed(): void;
  /** The hooks could not decide. */
  gaveUp(): void;
}

/** No credentials are looked at, so there is nothing to count. */
export const NO_ATTEMPT: LoginAttempt = { source: undefined, credentials: undefined };

/** @param renewed the client that shows newer credentials */
export function toAttempt(
  request: Origin & { token?: string | undefined },
  renewed?: { userId?: string | undefined },
): LoginAttempt {
  const { headers } = request;
  const { token = headers.authorization } = request;
  const { cookie } = headers;
  const hasAny = token !== undefined || cookie !== undefined;
  return {
    source: sourceOf(request),
    proxy: unnamedProxyOf(request),
    credentials: hasAny ? toHash(token, cookie) : undefined,
    token: token === undefined ? undefined : toHash(token),
    ...(renewed && { renewed: { userId: renewed.userId } }),
  };
}

function toHash(...credentials: (string | undefined)[]): string {
  return createHash('sha256').update(JSON.stringify(credentials)).digest('base64url');
}

/**
 * In whose share what was let in is remembered. Not by address where hooks name no user: one token
 * there can be shown with any number of cookies.
 */
function holderOf(userId: string | undefined, source: string, token = 'cookies'): string {
  return userId === undefined ? `${source} ${token}` : `user ${userId}`;
}

const MINUTE_MS = 60_000;
const SHARES_PER_SOURCE = 10;
const SOURCES_PER_PROXY = 10;
/** Known credentials may fail beyond the limit. Failures are counted up to this multiple of it. */
const OVERSHOOT = 2;
const RETRY_MS_MIN = 1000;
/** Of sources, of credentials that failed, and of credentials that were accepted. */
const REMEMBERED_MAX = 10_000;

const NOT_COUNTED: LoginUnderWay = {
  isGuess: false,
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
  readonly #letIn = new LetIn(REMEMBERED_MAX);

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
   * Admits an attempt. Waits while so many are under way from its source that the limit would be
   * met if all failed.
   * @param signal ends the wait
   * @throws SyncError RATE_LIMITED
   */
  async begin(attempt: LoginAttempt, signal?: AbortSignal): Promise<LoginUnderWay> {
    const { source = attempt.proxy, credentials, token, renewed } = attempt;
    if (source === undefined) return NOT_COUNTED;
    // Neither a source nor a hash has a space in it.
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
      // This attempt may have been woken for a place that it does not need: wake the next one.
      if (!isHeld) failures.callNext(key);
      if (waitMs > 0) throw this.#toRefusal(waitMs);
      const letIn = (userId: string | undefined) => {
        if (own !== undefined) this.#letIn.add(own, holderOf(userId, source, token));
      };
      return this.#toLogin(own, { failures, key, isHeld }, letIn);
    }
  }

  #toLogin(
    own: string | undefined,
    { failures, key, isHeld }: Place,
    letIn: LoginUnderWay['succeeded'],
  ): LoginUnderWay {
    const leave = () => {
      if (isHeld) failures.leave(key);
    };
    return {
      isGuess: isHeld,
      gaveUp: leave,
      succeeded: (userId) => {
        letIn(userId);
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

  #toRefusal(waitMs: number): SyncError {
    const limit = 'limits.failedLoginsPerMinute';
    const retryAfterMs = Math.max(RETRY_MS_MIN, Math.ceil(waitMs));
    const message = `too many logins have failed: ${limit} (${this.#perMinute}) of an address`;
    return new SyncError('RATE_LIMITED', message, { retryAfterMs, limit });
  }
}

/** Where an attempt is counted, and whether it holds a place there. */
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

/** For each key: the recent failures, and the attempts under way, which may fail. */
class Failures {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** The key of the latest failure is last. */
  readonly #counts = new Map<string, Count>();
  /** Bounded by the number of requests. */
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

  /** Milliseconds until another attempt may begin; 0 if it may now. */
  waitMs(key: string): number {
    const above = this.#level(key) + 1 - this.#perMinute;
    return above <= 0 ? 0 : (above * MINUTE_MS) / this.#perMinute;
  }

  /** @returns whether an attempt got a place; then it has to call `leave` */
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

  /**
   * Resolves when a place has become free. The caller then enters, waits again, or calls
   * `callNext`.
   */
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
    // If the clock was set back, the level stays as it is.
    const passedMs = Math.max(0, this.#now() - count.atMs);
    const level = count.level - (passedMs * this.#perMinute) / MINUTE_MS;
    if (level > 0) return level;
    this.#counts.delete(key);
    return 0;
  }
}

function deleteFirst(collection: Map<string, unknown>): void {
  const first = collection.keys().next();
  if (!first.done) collection.delete(first.value);
}
