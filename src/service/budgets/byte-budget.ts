/**
 * How many bytes may be held at once, by all clients together and by each. A request for more waits
 * until enough has been given back, first come, first served.
 *
 * A little beyond the total is kept for clients that hold little. So whoever waits for much, or holds
 * much, holds up only others that want much. While one of these waits, clients that hold little get
 * no more than what is kept for them: so it isn't overtaken without end.
 *
 * Those whose peers don't get on give way to those that wait: see `holdings.ts`.
 *
 * A client that holds nothing gets what it asks for, if need be as the only one that holds much: no
 * request is too large to be served. Apart from that, only `adjust`, and one grower at a time (see
 * `take`), may exceed the bounds.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { type Holding, type HoldingPeer, Holdings } from './holdings.ts';
import { type Reservation, Reserved } from './reservation.ts';

export type { Reservation };

/** Longer than an honest client holds its bytes. After that the cause lies elsewhere. */
const WAIT_MS = 10_000;
const RETRY_MS = 1000;
/** How often is looked who gets on. */
const LOOK_MS = 500;
/** After so many looks it is urgent. */
const URGENT_LOOKS = 10;
/** What is kept for clients that hold little, as a part of the total, and at most. */
const KEPT_SHARE = 1 / 4;
const KEPT_BYTES_MAX = 64 * 1024 * 1024;

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

/** Whether somebody waits for the total, of those that hold little and those that hold much. */
type Line = Record<'little' | 'much', boolean>;

const NOBODY: Readonly<Line> = { little: false, much: false };

interface Waiter {
  client: string;
  bytes: number;
  timer: NodeJS.Timeout;
  /** For how many of these it has waited. */
  looks: number;
  /** See `take`. */
  grower: object | undefined;
  resolve(): void;
}

export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  readonly #heldByClient = new Map<string, number>();
  readonly #holdings = new Holdings();
  /** Runs while there is anybody who may have to give way. */
  #looks: NodeJS.Timeout | undefined;
  readonly #keptBytes: number;
  #held = 0;
  /** The part of it that is held by clients that hold little. */
  #heldByFrugal = 0;
  #waiters: Waiter[] = [];
  #line: Readonly<Line> = NOBODY;
  /** The grower that may exceed the bounds. */
  #overdrawn: object | undefined;

  constructor(options: ByteBudgetOptions) {
    this.#options = options;
    this.#keptBytes = Math.min(options.total.bytes * KEPT_SHARE, KEPT_BYTES_MAX);
  }

  get held(): number {
    return this.#held;
  }

  /**
   * Takes bytes for a client, which gives them back later. Returns `undefined` if they are free.
   * Otherwise the promise resolves once they are taken, or rejects with OVERLOADED, and nothing is
   * taken.
   * @param grower an owner that holds bytes and needs more to finish. All would wait for each other, so
   *   one of them at a time, until `ended`, does not wait; then it is the turn of the first that does,
   *   which has to end also if it needs the bytes no more
   */
  take(client: string, bytes: number, grower?: object): Promise<void> | undefined {
    const met = this.#metBy(client, bytes, this.#line);
    if (met !== undefined && grower !== undefined) this.#overdrawn ??= grower;
    if (met === undefined || (grower !== undefined && grower === this.#overdrawn)) {
      this.#add(client, bytes);
      return undefined;
    }
    this.#options.onLimit(met.limit);
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        const { limit } = this.#metBy(client, bytes) ?? this.#options.total;
        const message = `${limit} are held by requests that are not answered yet`;
        reject(new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_MS, limit }));
        // Another one behind it may fit now.
        this.#serve();
      };
      const timer = setTimeout(giveUp, WAIT_MS).unref();
      const waiter: Waiter = { client, bytes, timer, looks: 0, grower, resolve };
      this.#waiters.push(waiter);
      this.#serve();
      this.#makeRoom();
    });
  }

  /**
   * What is held by a client for as long as its peer lets it. It may have to give way to others.
   * @returns to be called when that is over
   */
  watch(holding: Holding): () => void {
    this.#looks ??= setInterval(() => this.#look(), LOOK_MS).unref();
    return this.#holdings.add(holding);
  }

  #look(): void {
    if (this.#holdings.isEmpty) {
      clearInterval(this.#looks);
      this.#looks = undefined;
      return;
    }
    this.#holdings.look();
    for (const waiter of this.#waiters) waiter.looks++;
    this.#makeRoom();
  }

  /** Lets others give way to the first of each kind that wait for the total. */
  #makeRoom(): void {
    for (const kind of ['little', 'much'] as const) {
      while (this.#line[kind] && this.#oneGivesWay(kind));
    }
  }

  #oneGivesWay(kind: keyof Line): boolean {
    const { total, perClient } = this.#options;
    const isOfKind = (bytes: number) => this.#isLittle(bytes) === (kind === 'little');
    const metBy = ({ client, bytes }: Waiter) => this.#metBy(client, bytes);
    const waiters = this.#waiters.filter((waiter) => isOfKind(this.#wantedBy(waiter)));
    const first = waiters.find((waiter) => metBy(waiter) === total);
    if (first === undefined) return false;
    const giver = this.#holdings.giverTo({
      heldBy: (client) => this.#heldBy(client),
      isInTheWay: isOfKind,
      bytes: this.#wantedBy(first),
      isUrgent: kind === 'little' && first.looks >= URGENT_LOOKS,
    });
    if (giver !== undefined) {
      const { limit } = total;
      const message = `others wait for ${limit}, and this took too long`;
      giver.giveWay(new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_MS, limit }));
      return true;
    }
    // Nobody holds more than it would: it gives its place in the line to who would hold little of that.
    const others = kind === 'little' ? waiters.filter((waiter) => metBy(waiter) !== perClient) : [];
    const [least] = others.toSorted((a, b) => this.#wantedBy(a) - this.#wantedBy(b));
    if (least === undefined || 2 * this.#wantedBy(least) > this.#wantedBy(first)) return false;
    this.#waiters = [least, ...this.#waiters.filter((waiter) => waiter !== least)];
    this.#serve();
    return true;
  }

  /** What its client would hold. */
  #wantedBy({ client, bytes }: Waiter): number {
    return this.#heldBy(client) + bytes;
  }

  /**
   * Takes bytes for a client, as soon as they are free.
   * @param peer whoever takes what they are for: see `watch`
   * @throws SyncError OVERLOADED
   */
  async reserve(client: string, bytes: number, peer?: HoldingPeer): Promise<Reservation> {
    const room = this.take(client, bytes);
    if (room !== undefined) await room;
    return new Reserved(this, client, bytes, peer);
  }

  /**
   * Takes bytes for a client if they are free now, ahead of requests that wait: for bytes that are
   * held only for a moment.
   */
  tryReserve(client: string, bytes: number): Reservation | undefined {
    const met = this.#metBy(client, bytes);
    if (met === undefined) {
      this.#add(client, bytes);
      return new Reserved(this, client, bytes);
    }
    this.#options.onLimit(met.limit);
    return undefined;
  }

  /** Whether a client could take so many bytes now. */
  hasRoom(client: string, bytes: number): boolean {
    return this.#waiters.length === 0 && this.#metBy(client, bytes) === undefined;
  }

  /** The grower has finished, or has gone. */
  ended(grower: object): void {
    if (this.#overdrawn !== grower) return;
    this.#overdrawn = undefined;
    this.#serve();
  }

  /** Changes what a client holds, without waiting. */
  adjust(client: string, from: number, to: number): void {
    this.#add(client, to - from);
    this.#serve();
  }

  give(client: string, bytes: number): void {
    this.adjust(client, bytes, 0);
  }

  #heldBy(client: string): number {
    return this.#heldByClient.get(client) ?? 0;
  }

  /** Several clients that hold little share what is kept, so it's half of that. */
  #isLittle(bytes: number): boolean {
    return bytes <= this.#keptBytes / 2;
  }

  /**
   * The bound that so many more bytes would exceed.
   * @param line those that come first
   */
  #metBy(client: string, bytes: number, line: Readonly<Line> = NOBODY): Bound | undefined {
    const { total, perClient } = this.#options;
    const own = this.#heldBy(client);
    if (own > 0 && own + bytes > perClient.bytes) return perClient;
    const isFree = this.#isLittle(own + bytes)
      ? !line.little && this.#isLittleFree(bytes, line)
      : !line.much && this.#isMuchFree(own, bytes);
    return isFree ? undefined : total;
  }

  #isLittleFree(bytes: number, line: Readonly<Line>): boolean {
    if (this.#heldByFrugal + bytes <= this.#keptBytes) return true;
    return !line.much && this.#held + bytes <= this.#options.total.bytes;
  }

  /** @param own what its client holds already */
  #isMuchFree(own: number, bytes: number): boolean {
    const frugal = this.#heldByFrugal - (this.#isLittle(own) ? own : 0);
    const much = this.#held - frugal;
    const beyondKept = Math.max(0, frugal - this.#keptBytes);
    if (much + beyondKept === 0) return true;
    return much + bytes + beyondKept <= this.#options.total.bytes;
  }

  #add(client: string, bytes: number): void {
    const before = this.#heldBy(client);
    const own = before + bytes;
    this.#held += bytes;
    if (this.#isLittle(before)) this.#heldByFrugal -= before;
    if (this.#isLittle(own)) this.#heldByFrugal += own;
    if (own > 0) this.#heldByClient.set(client, own);
    else this.#heldByClient.delete(client);
  }

  /**
   * Serves requests in order. One that waits for the total holds up those of its kind behind it;
   * one that waits for its own client's bound holds up nobody.
   */
  #serve(): void {
    if (this.#waiters.length === 0) {
      this.#line = NOBODY;
      return;
    }
    const left: Waiter[] = [];
    const line = { ...NOBODY };
    for (const waiter of this.#waiters) {
      const { client, bytes, grower } = waiter;
      const met = this.#metBy(client, bytes, line);
      const mayExceed = grower !== undefined && this.#overdrawn === undefined;
      if (met !== undefined && mayExceed) this.#overdrawn = grower;
      if (met === undefined || mayExceed) {
        clearTimeout(waiter.timer);
        this.#add(client, bytes);
        waiter.resolve();
        continue;
      }
      left.push(waiter);
      if (met !== this.#options.total) continue;
      line[this.#isLittle(this.#heldBy(client) + bytes) ? 'little' : 'much'] = true;
    }
    this.#waiters = left;
    this.#line = line;
  }
}
