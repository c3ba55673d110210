/**
 * How many bytes may be held at once, by all clients together and by each of them. Whoever wants more waits
 * until enough has been given back, in the order of asking. A client that holds nothing gets what it
 * asks for, if need be alone: nothing is too large to get its turn. What grows while it arrives may exceed
 * the bound by one of its kind.
 */

import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';

/** Longer than what honest clients hold is held; after that somebody else is the cause. */
const WAIT_MS = 10_000;
const RETRY_MS = 1000;

export interface Bound {
  /** The option that says so. */
  limit: LimitName;
  bytes: number;
}

export interface ByteBudgetOptions {
  total: Bound;
  perClient: Bound;
  /** Somebody is made to wait for this one. */
  onLimit(limit: LimitName): void;
}

interface Waiter {
  client: string;
  bytes: number;
  timer: NodeJS.Timeout;
  resolve(): void;
}

/** Bytes that are held until they are given back. */
export interface Reservation {
  readonly bytes: number;
  /** What it turned out to need, without waiting. */
  adjust(bytes: number): void;
  /**
   * Gives back what it holds, and takes so much once it is there: who waits for more holds nothing meanwhile,
   * so that no two wait for each other.
   * @throws SyncError OVERLOADED; it holds nothing then
   */
  retake(bytes: number): Promise<void>;
  /** To be called once for all that happens; more often does nothing. */
  give(): void;
}

export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  readonly #heldByClient = new Map<string, number>();
  #held = 0;
  #waiters: Waiter[] = [];
  /** The grower that may take more than there is. */
  #overdrawn: object | undefined;

  constructor(options: ByteBudgetOptions) {
    this.#options = options;
  }

  get held(): number {
    return this.#held;
  }

  /**
   * Takes so many for a client, who gives them back later; `undefined` if they are there. Otherwise
   * resolves once they are, or rejects with OVERLOADED, and then nothing was taken.
   * @param grower who holds some for what it can't end without more. If all such waited for each other nobody
   *   would end: so one of them, until `ended`, never waits
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
        // Those behind it may be small enough.
        this.#serve();
      };
      const timer = setTimeout(giveUp, WAIT_MS).unref();
      const waiter: Waiter = { client, bytes, timer, resolve };
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  /**
   * Takes so many for a client once they are there.
   * @throws SyncError OVERLOADED
   */
  async reserve(client: string, bytes: number): Promise<Reservation> {
    const room = this.take(client, bytes);
    if (room !== undefined) await room;
    return this.#reservation(client, bytes);
  }

  /**
   * Takes so many for a client if they are there at once. It passes by those who wait: it is for what is
   * given back in a moment, as a rule.
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

  /** @param bytes that are taken already */
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

  /** Whether a client could take so many at once. */
  hasRoom(client: string, bytes: number): boolean {
    return this.#waiters.length === 0 && this.#metBy(client, bytes) === undefined;
  }

  /** What it needed more for is whole, or it has gone. */
  ended(grower: object): void {
    if (this.#overdrawn === grower) this.#overdrawn = undefined;
  }

  /** Changes what a client holds to what it turned out to need, without waiting. */
  adjust(client: string, from: number, to: number): void {
    this.#add(client, to - from);
    this.#serve();
  }

  give(client: string, bytes: number): void {
    this.adjust(client, bytes, 0);
  }

  /** The bound that is in the way of so many more. */
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

  /** Nobody overtakes who waits for all together; who waits for its own is passed by. */
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
