/**
 * How many bytes may be held at once, by all clients together and by each. A request for more waits
 * until enough has been given back, first come, first served. A client that holds nothing gets what
 * it asks for, if need be alone: no request is too large to be served. Apart from that, only
 * `adjust`, and one grower at a time (see `take`), may exceed the bounds.
 */

import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';

/** Longer than an honest client holds its bytes. After that the cause lies elsewhere. */
const WAIT_MS = 10_000;
const RETRY_MS = 1000;

export interface Bound {
  /** The option that sets this bound. */
  limit: LimitName;
  bytes: number;
}

export interface ByteBudgetOptions {
  total: Bound;
  perClient: Bound;
  /** This bound makes a request wait, or refuses it. */
  onLimit(limit: LimitName): void;
}

interface Waiter {
  client: string;
  bytes: number;
  timer: NodeJS.Timeout;
  resolve(): void;
}

/** Bytes that are held until `give`. */
export interface Reservation {
  readonly bytes: number;
  /** Sets the size to what turned out to be needed, without waiting. */
  adjust(bytes: number): void;
  /**
   * Gives back all it holds, then waits for `bytes`. While it waits it holds nothing, so that no
   * two reservations wait for each other.
   * @throws SyncError OVERLOADED; it holds nothing then
   */
  retake(bytes: number): Promise<void>;
  /** Gives back what it holds. A second call does nothing. */
  give(): void;
}

export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  readonly #heldByClient = new Map<string, number>();
  #held = 0;
  #waiters: Waiter[] = [];
  /** The grower that may exceed the bounds. */
  #overdrawn: object | undefined;

  constructor(options: ByteBudgetOptions) {
    this.#options = options;
  }

  get held(): number {
    return this.#held;
  }

  /**
   * Takes bytes for a client, which gives them back later. Returns `undefined` if they are free.
   * Otherwise the promise resolves once they are taken, or rejects with OVERLOADED, and nothing is
   * taken.
   * @param grower an owner that holds bytes and needs more to finish. If all growers waited for
   *   each other none would finish, so one of them at a time, until `ended`, never waits
   */
  take(client: string, bytes: number, grower?: object): Promise<void> | undefined {
    const met = this.#metBy(client, bytes);
    const isThere = met === undefined && this.#waiters.length === 0;
    if (!isThere && grower !== undefined) this.#overdrawn ??= grower;
    if (isThere || (grower !== undefined && grower === this.#overdrawn)) {
      this.#add(client, bytes);
      return undefined;
    }
    this.#options.onLimit((met ?? this.#options.total).limit);
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        const { limit } = this.#metBy(client, bytes) ?? this.#options.total;
        const message = `${limit} are held by requests that are not answered yet`;
        reject(new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_MS, limit }));
        // A smaller request behind it may fit now.
        this.#serve();
      };
      const timer = setTimeout(giveUp, WAIT_MS).unref();
      const waiter: Waiter = { client, bytes, timer, resolve };
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  /**
   * Takes bytes for a client, as soon as they are free.
   * @throws SyncError OVERLOADED
   */
  async reserve(client: string, bytes: number): Promise<Reservation> {
    const room = this.take(client, bytes);
    if (room !== undefined) await room;
    return this.#reservation(client, bytes);
  }

  /**
   * Takes bytes for a client if they are free now, ahead of requests that wait: for bytes that are
   * held only for a moment.
   */
  tryReserve(client: string, bytes: number): Reservation | undefined {
    const met = this.#metBy(client, bytes);
    if (met === undefined) {
      this.#add(client, bytes);
      return this.#reservation(client, bytes);
    }
    this.#options.onLimit(met.limit);
    return undefined;
  }

  /** @param bytes taken already */
  #reservation(client: string, bytes: number): Reservation {
    let held = bytes;
    let isGiven = false;
    const adjust = (to: number) => {
      if (isGiven) return;
      this.adjust(client, held, to);
      held = to;
    };
    return {
      get bytes() {
        return held;
      },
      adjust,
      retake: async (to) => {
        adjust(0);
        const more = this.take(client, to);
        if (more !== undefined) await more;
        if (isGiven) this.give(client, to);
        else held = to;
      },
      give: () => {
        adjust(0);
        isGiven = true;
      },
    };
  }

  /** Whether a client could take so many bytes now. */
  hasRoom(client: string, bytes: number): boolean {
    return this.#waiters.length === 0 && this.#metBy(client, bytes) === undefined;
  }

  /** The grower has finished, or has gone. */
  ended(grower: object): void {
    if (this.#overdrawn === grower) this.#overdrawn = undefined;
  }

  /** Changes what a client holds, without waiting. */
  adjust(client: string, from: number, to: number): void {
    this.#add(client, to - from);
    this.#serve();
  }

  give(client: string, bytes: number): void {
    this.adjust(client, bytes, 0);
  }

  /** The bound that so many more bytes would exceed. */
  #metBy(client: string, bytes: number): Bound | undefined {
    const { total, perClient } = this.#options;
    const own = this.#heldByClient.get(client) ?? 0;
    if (own > 0 && own + bytes > perClient.bytes) return perClient;
    return this.#held > 0 && this.#held + bytes > total.bytes ? total : undefined;
  }

  #add(client: string, bytes: number): void {
    this.#held += bytes;
    const own = (this.#heldByClient.get(client) ?? 0) + bytes;
    if (own > 0) this.#heldByClient.set(client, own);
    else this.#heldByClient.delete(client);
  }

  /**
   * Serves requests in order. One that waits for the total holds up those behind it; one that waits
   * for its own client's bound does not.
   */
  #serve(): void {
    if (this.#waiters.length === 0) return;
    const { total } = this.#options;
    const left: Waiter[] = [];
    let isFull = false;
    for (const waiter of this.#waiters) {
      const met: Bound | undefined = isFull ? total : this.#metBy(waiter.client, waiter.bytes);
      if (met === undefined) {
        clearTimeout(waiter.timer);
        this.#add(waiter.client, waiter.bytes);
        waiter.resolve();
      } else {
        left.push(waiter);
        isFull ||= met === total;
      }
    }
    this.#waiters = left;
  }
}
