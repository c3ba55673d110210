/**
 * Counts the running hook calls: a stop waits for them, and too many notifications make callers
 * wait.
 */

import { FairCount } from './fair-count.ts';

/** An event to wait for, any number of times. Its promise is made only when a caller waits. */
class Moment {
  #waiting: { promise: Promise<void>; resolve(): void } | undefined;

  get promise(): Promise<void> {
    if (this.#waiting === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      this.#waiting = { promise, resolve };
    }
    return this.#waiting.promise;
  }

  come(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}

export class RunningCalls {
  readonly #stop = new AbortController();
  readonly #idle = new Moment();
  readonly #relief = new Moment();
  readonly #notified: FairCount;
  #running = 0;
  #held = 0;

  /**
   * @param notifyCallsMax the limit of notifications: no client waits for them, so they could pile
   * up
   */
  constructor(notifyCallsMax = Number.POSITIVE_INFINITY) {
    this.#notified = new FairCount(notifyCallsMax);
  }

  /** Aborting it gives up all running calls, and all later ones. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  begin(): void {
    this.#running++;
  }

  end(): void {
    if (--this.#running === 0) this.#idle.come();
  }

  /** Counts a notification for its database until it ends. */
  countNotified(databaseId: string, call: Promise<unknown>): void {
    this.#notified.add(databaseId);
    const ended = () => {
      this.#notified.remove(databaseId);
      this.#relief.come();
    };
    call.then(ended, ended);
  }

  /** Resolves once the database may have more notifications at once. */
  async notifiable(databaseId: string): Promise<void> {
    while (this.#notified.isFullFor(databaseId)) await this.#relief.promise;
  }

  /** An operation of several calls begins. `settled` waits until it is released. */
  hold(): void {
    this.#held++;
  }

  release(): void {
    if (--this.#held === 0) this.#idle.come();
  }

  /** Waits for all running calls and held operations. */
  async settled(): Promise<void> {
    // The end of one call may begin another, for instance a disconnect.
    while (this.#running + this.#held > 0) await this.#idle.promise;
  }

  /** Waits for running calls. After the deadline it gives up the remaining ones. */
  async drain(deadlineMs: number): Promise<void> {
    const reason = new Error(`not done ${deadlineMs} ms after the server began to stop`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#stop.abort(reason);
        resolve();
      }, deadlineMs);
    });
    await Promise.race([this.settled(), late]);
    clearTimeout(timer);
    // From now on all calls of operations that are still held are refused.
    while (this.#running > 0) await this.#idle.promise;
  }
}
