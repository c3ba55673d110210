/** The hook calls that run: what a stop has to wait for, and what may become too much. */

import { FairCount } from './fair-count.ts';

/** Something that may have to be waited for; its promise is made for the first who waits. */
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

  /** @param notifyCallsMax no client waits for these, so only this keeps them from piling up */
  constructor(notifyCallsMax = Number.POSITIVE_INFINITY) {
    this.#notified = new FairCount(notifyCallsMax);
  }

  /** Gives up, when it is aborted, whatever runs or is still to come. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  begin(): void {
    this.#running++;
  }

  end(): void {
    if (--this.#running === 0) this.#idle.come();
  }

  /** A call that notifies counts for its database until it ends. */
  countNotified(databaseId: string, call: Promise<unknown>): void {
    this.#notified.add(databaseId);
    const ended = () => {
      this.#notified.remove(databaseId);
      this.#relief.come();
    };
    call.then(ended, ended);
  }

  /**
   * Resolves when a notify call has ended; `undefined` while so few of them run that a database may have
   * more.
   */
  backpressureOn(databaseId: string): Promise<void> | undefined {
    return this.#notified.isFullFor(databaseId) ? this.#relief.promise : undefined;
  }

  /** An operation of several calls begins: what runs has not settled before it is released. */
  hold(): void {
    this.#held++;
  }

  release(): void {
    if (--this.#held === 0) this.#idle.come();
  }

  /** Waits for what runs. */
  async settled(): Promise<void> {
    // A call that ends may have let another begin: a disconnect, for one.
    while (this.#running + this.#held > 0) await this.#idle.promise;
  }

  /** Waits for what runs; after the deadline gives up what is left, for good. */
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
    // An operation that is still held is refused whatever it invokes from now on.
    while (this.#running > 0) await this.#idle.promise;
  }
}
