/**
 * One connection of a process to the shared store. A statement takes its time on the way, and so
 * does its answer. When the connection breaks nobody knows whether the statement under way has
 * been carried out.
 */

import { OUTSIDE } from './loop.ts';
import type { RowLock } from './row-lock.ts';
import type { SharedStore } from './shared-store.ts';

/** A transaction whose process is silent for so long is ended: it has stalled, or is gone. */
export const FENCE_MS = 200;

export class Connection {
  readonly owner: string;
  readonly #store: SharedStore;
  readonly #onEnd: () => void;
  /** Ended by the store: what still arrives on it is not carried out. */
  #isEnded = false;
  /** What the process will be told of statements that are not answered. */
  readonly #unanswered = new Set<() => void>();
  #lock: RowLock | undefined;
  #fence: { cancel(): void } | undefined;

  constructor(store: SharedStore, owner: string, onEnd: () => void) {
    this.#store = store;
    this.owner = owner;
    this.#onEnd = onEnd;
  }

  /**
   * @param statement carried out by the store, in one go up to its answer
   * @throws if no answer came
   */
  ask<T>(statement: (answer: (value: T) => void) => void): Promise<T> {
    const { loop } = this.#store;
    return new Promise((resolve, reject) => {
      const lost = () => this.#inProcess(() => reject(new Error('simulated: no connection')));
      const carryOut = () => {
        if (this.#isEnded || this.#isLost()) return lost();
        this.#fence?.cancel();
        this.#unanswered.add(lost);
        statement((value) => {
          this.#unanswered.delete(lost);
          this.#expectMore();
          if (this.#isLost()) lost();
          else this.#inProcess(() => resolve(value));
        });
      };
      loop.at(this.#latencyMs(), carryOut, OUTSIDE);
    });
  }

  /** Begins a transaction, and waits until nobody else writes. To be asked. */
  lock(lock: RowLock, answer: (value: undefined) => void): void {
    this.#lock = lock;
    lock.take(this, () => answer(undefined));
  }

  /** The transaction has ended. */
  unlock(): void {
    this.#lock?.leave(this);
    this.#lock = undefined;
    this.#fence?.cancel();
  }

  /** By the process: what it has not committed is undone, once that is known of there. */
  close(): void {
    const { loop } = this.#store;
    if (this.#store.isReachable(this.owner)) loop.at(this.#latencyMs(), () => this.end(), OUTSIDE);
    else if (this.#lock === undefined) this.end();
    else this.#expectMore();
  }

  /** By the store. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.unlock();
    this.#onEnd();
    for (const lost of this.#unanswered) lost();
    this.#unanswered.clear();
  }

  /** Who holds a lock and says nothing more has stalled. */
  #expectMore(): void {
    this.#fence?.cancel();
    if (this.#lock === undefined || this.#isEnded) return;
    this.#fence = this.#store.loop.at(FENCE_MS, () => this.end(), OUTSIDE);
  }

  /** The store may find out only when it has waited long enough. */
  #isLost(): boolean {
    const { random } = this.#store;
    if (!this.#store.isReachable(this.owner)) return true;
    if (!random.chance(this.#store.breaks)) return false;
    if (random.chance(0.5)) this.end();
    return true;
  }

  #inProcess(run: () => void): void {
    const { loop } = this.#store;
    if (this.#store.isThere(this.owner)) loop.at(this.#latencyMs(), run, this.owner);
  }

  #latencyMs(): number {
    const { random } = this.#store;
    return random.next() * (random.chance(0.03) ? 20 : 0.6);
  }
}
