/** The hook calls that run: what a stop has to wait for, and what may become too much. */

import type { AskedModule, Asker, Question } from './asker.ts';
import type { Verdict } from './verdict.ts';

export interface RunningCalls {
  /**
   * Asks, and remembers the call for as long as it runs. To be awaited only where there is
   * something to wait for: most hooks answer at once.
   * @throws SyncError, or rejects with it, for any verdict but `ok`
   */
  ask<T>(question: Question<T>, module: AskedModule): T | Promise<T>;
  /** The same for a call that nobody waits for; never throws. */
  tell(question: Question<void>, module: AskedModule): void;
  /** Gives up, when it is aborted, whatever runs or is still to come. */
  readonly stop: AbortSignal;
  /** Waits for what runs; after the deadline gives up what is left, for good. */
  drain(deadlineMs: number): Promise<void>;
  /** Waits for what runs. */
  settled(): Promise<void>;
  /** Resolves once fewer calls run that nobody waits for than may; `undefined` while that is so. */
  readonly pressure: Promise<void> | undefined;
}

/** What somebody may have to wait for, made for the first who does. */
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

/** @param toldMax nobody waits for these, so only this keeps them from piling up */
export function createRunningCalls(ask: Asker, toldMax: number): RunningCalls {
  const stop = new AbortController();
  let running = 0;
  let told = 0;
  const idle = new Moment();
  const relief = new Moment();

  function ended(): void {
    if (--running === 0) idle.come();
  }

  async function settled(): Promise<void> {
    // A call that ends may have let another begin: a disconnect, for one.
    while (running > 0) await idle.promise;
  }

  return {
    ask<T>(question: Question<T>, module: AskedModule): T | Promise<T> {
      const answer = ask(question, module);
      if (typeof answer !== 'function') return toValue(answer);
      running++;
      return new Promise((resolve, reject) => {
        answer((verdict) => {
          if (verdict.outcome === 'ok') resolve(verdict.value);
          else reject(verdict.error);
          ended();
        });
      });
    },

    tell(question, module) {
      const answer = ask(question, module);
      if (typeof answer !== 'function') return;
      running++;
      told++;
      answer(() => {
        if (--told < toldMax) relief.come();
        ended();
      });
    },

    stop: stop.signal,
    settled,

    async drain(deadlineMs) {
      const reason = new Error(`not done ${deadlineMs} ms after the server began to stop`);
      const timer = setTimeout(() => stop.abort(reason), deadlineMs);
      await settled();
      clearTimeout(timer);
    },

    get pressure() {
      return told < toldMax ? undefined : relief.promise;
    },
  };
}

function toValue<T>(verdict: Verdict<T>): T {
  if (verdict.outcome !== 'ok') throw verdict.error;
  return verdict.value;
}
