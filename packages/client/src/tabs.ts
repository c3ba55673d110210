/**
 * The tabs of a browser that share a store. The one that holds a lock leads: it alone has a connection
 * and writes what the server says. What any of them has written is told to the others, once it is
 * durable, and they carry out the same.
 *
 * A leader that is closed or crashes loses its lock, and the next in line gets it. One that is stopped
 * keeps it: so the others ask the leader for a sign of life, and who gets none takes the lock away.
 */

import type { ConnectionState } from './connection/states.ts';
import type { ChannelLike, Environment, LocksLike } from './environment.ts';
import type { StoreOperation } from './stores/store.ts';

/** What the tabs are to do: `connect()` and the like, said in any of them. */
export interface Wish {
  isWanted?: boolean;
  /** A text; a function can't be told. */
  token?: string;
  /** Ask for a token. */
  renew?: boolean;
}

/** What a leader tells of its connection. */
export interface ToldStatus {
  isWanted: boolean;
  connection: ConnectionState;
  error?: { message: string; code?: string };
  /** The server's time less the device's, by which all go. */
  clockOffsetMs?: number;
}

type Message = { from: string } /** Who has just come, or asks for a sign of life. */ & (
  | { type: 'hello' }
  /** The leader's answer; `seq` is that of its last operations. */
  | { type: 'leader'; seq: number; term: string; status: ToldStatus }
  /** Durable ones; with the term of a leader those that it alone may write. */
  | { type: 'operations'; seq: number; term?: string; operations: StoreOperation[] }
  | { type: 'wish'; wish: Wish }
  /** Who has read the store: which writes without an answer are there. */
  | { type: 'outbox'; outbox: string }
);

export interface TabsPort {
  /** This tab leads, in a term that is greater than all before. */
  lead(term: string): void;
  /** It does not lead any more. */
  follow(): void;
  operations(operations: StoreOperation[]): void;
  /** Some operations were missed: only the store knows them. */
  missed(): void;
  status(): ToldStatus;
  heard(status: ToldStatus): void;
  wish(wish: Wish): void;
  /** Differs where a replica knows other writes without an answer. */
  outbox(): string;
}

/** So long a leader is waited for by a tab that has just come. */
const JOIN_MS = 300;
/** A leader gives a sign of life within this time; longer for each that was taken to be stopped. */
const PATIENCE_MS = 500;
const PATIENCE_MAX_MS = 30_000;
/** Browsers let tabs that are hidden ask once a minute at least. */
const ALONE_MS = 120_000;
/** Tabs that are open at once; the numbers above are of those that the browser has put aside. */
const NUMBERS_MAX = 2 ** 11;

interface Hold {
  release(): void;
  /** Settles when it is not held any more, by whatever cause. */
  over: Promise<unknown>;
}

export class Tabs {
  /** Differs from those of all other tabs that are open. */
  number = 0;
  isLeader = false;
  readonly #name: string;
  readonly #environment: Environment;
  readonly #locks: LocksLike;
  readonly #channel: ChannelLike;
  readonly #port: TabsPort;
  readonly #id: string;
  /** The newest that was heard of. */
  #term = '';
  #seq = 0;
  /** By tab, its last operations. */
  readonly #heard = new Map<string, number>();
  /** What this tab holds; another set after each `leave`. */
  #holds = new Set<Hold>();
  #isSilent = false;
  #askedAt = 0;
  #patienceMs = PATIENCE_MS;
  #cancelWatch = () => {};
  #greeted = () => {};

  /** That of this tab while it leads. */
  get term(): string | undefined {
    return this.isLeader ? this.#term : undefined;
  }

  /** Whether no other tab asks whether this one lives. */
  get isAlone(): boolean {
    return this.#environment.now() - this.#askedAt > ALONE_MS;
  }

  /** @throws Error where tabs can't share anything */
  constructor(name: string, environment: Environment, port: TabsPort) {
    const { locks, openChannel } = environment;
    if (locks === undefined || openChannel === undefined) {
      throw new Error('there are no Web Locks here: open the store as one that is not shared');
    }
    this.#name = name;
    this.#environment = environment;
    this.#locks = locks;
    this.#port = port;
    this.#id = `${environment.now()}/${environment.random()}`;
    this.#channel = openChannel(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data as Message);
  }

  /** Resolves when the leader knows of this tab, or is this tab, or does not answer. */
  async join(): Promise<void> {
    const holds = this.#holds;
    for (let number = 0; ; number++) {
      const held = await this.#hold(`tab/${number}`, { ifAvailable: true });
      if (held === undefined && number < NUMBERS_MAX) continue;
      if (held !== undefined && this.#holds !== holds) held.release();
      else if (held !== undefined) holds.add(held);
      this.number = number;
      break;
    }
    if (this.#holds !== holds) return;
    const greeted = new Promise<void>((resolve) => {
      this.#greeted = resolve;
    });
    this.#isSilent = false;
    this.#post({ type: 'hello' });
    this.#queue();
    this.#watch(JOIN_MS);
    await greeted;
  }

  /** Lets go of everything, as when the browser may stop this tab. */
  leave(): void {
    this.#cancelWatch();
    this.#greeted();
    const holds = this.#holds;
    this.#holds = new Set();
    this.isLeader = false;
    this.number = NUMBERS_MAX + Math.floor(this.#environment.random() * NUMBERS_MAX);
    for (const { release } of holds) release();
  }

  close(): void {
    this.leave();
    this.#channel.onmessage = null;
    this.#channel.close();
  }

  tell(operations: StoreOperation[], term?: string): void {
    this.#post({ type: 'operations', seq: ++this.#seq, term, operations });
  }

  tellStatus(): void {
    if (!this.isLeader) return;
    this.#post({
      type: 'leader',
      seq: this.#seq,
      term: this.#term,
      status: this.#port.status(),
    });
  }

  tellWish(wish: Wish): void {
    this.#post({ type: 'wish', wish });
  }

  /** A tab that was killed right after it had stored a write has told nobody: the leader may not know of it. */
  tellOutbox(): void {
    if (!this.isLeader) this.#post({ type: 'outbox', outbox: this.#port.outbox() });
  }

  #post(message: Record<string, unknown>): void {
    this.#channel.postMessage({ ...message, from: this.#id });
  }

  /** @returns `undefined` if it is not available */
  #hold(name: string, options: { ifAvailable?: boolean; steal?: boolean }) {
    return new Promise<Hold | undefined>((resolve, reject) => {
      const over = this.#locks.request(`${this.#name}/${name}`, options, (lock) => {
        if (lock !== null) return new Promise<void>((release) => resolve({ release, over }));
        resolve(undefined);
      });
      over.catch(reject);
    });
  }

  #queue(options = {}): void {
    // Where locks are forbidden, joining has said so.
    this.#lead(options).catch(() => undefined);
  }

  /** Waits for its turn, or takes it. */
  async #lead(options: { steal?: boolean }): Promise<void> {
    const holds = this.#holds;
    const held = await this.#hold('leader', options);
    if (held === undefined || this.#holds !== holds) {
      held?.release();
      return;
    }
    holds.add(held);
    this.#begin();
    await held.over.catch(() => undefined);
    holds.delete(held);
    // Another one has taken it away.
    if (this.#holds !== holds) return;
    this.#stop();
    this.#queue();
  }

  #begin(): void {
    const now = Math.max(this.#environment.now(), Number.parseInt(this.#term || '0', 10) + 1);
    this.#term = `${String(now).padStart(16, '0')}/${this.number}`;
    this.isLeader = true;
    this.#port.lead(this.#term);
    this.tellStatus();
    this.#greeted();
  }

  #stop(): void {
    this.#patienceMs = Math.min(2 * this.#patienceMs, PATIENCE_MAX_MS);
    this.isLeader = false;
    this.#isSilent = false;
    this.#port.follow();
  }

  #watch(ms = this.#patienceMs): void {
    const start = this.#environment.now();
    this.#cancelWatch = this.#environment.after(ms, () => {
      this.#greeted();
      // Else it was this tab that was stopped.
      const isInTime = this.#environment.now() - start < 2 * ms;
      if (!this.isLeader) {
        if (this.#isSilent && isInTime) {
          this.#patienceMs = Math.min(2 * this.#patienceMs, PATIENCE_MAX_MS);
          this.#queue({ steal: true });
        }
        this.#isSilent = true;
        this.#post({ type: 'hello' });
      }
      this.#watch();
    });
  }

  #receive(message: Message): void {
    switch (message.type) {
      case 'hello':
        this.#askedAt = this.#environment.now();
        this.tellStatus();
        return;
      case 'wish':
        this.#port.wish(message.wish);
        // Its status is what counts, also for who heard of it just before.
        this.tellStatus();
        return;
      case 'outbox':
        if (this.isLeader && message.outbox !== this.#port.outbox()) this.#port.missed();
        return;
      case 'leader': {
        const { from, seq, term, status } = message;
        // One that does not know yet that it was succeeded.
        if (this.isLeader || term < this.#term) return;
        const isKnown = term === this.#term && this.#heard.get(from) === seq;
        this.#hear(term);
        this.#heard.set(from, seq);
        this.#port.heard(status);
        this.#greeted();
        if (!isKnown) this.#port.missed();
        return;
      }
      case 'operations': {
        const { from, seq, term, operations } = message;
        if (term !== undefined && (this.isLeader || term < this.#term)) return;
        const last = this.#heard.get(from) ?? seq - 1;
        const isKnown = seq === last + 1 && (term ?? this.#term) === this.#term;
        if (term !== undefined) this.#hear(term);
        this.#heard.set(from, seq);
        this.#port.operations(operations);
        if (!isKnown) this.#port.missed();
      }
    }
  }

  #hear(term: string): void {
    this.#term = term;
    this.#isSilent = false;
  }
}
