/** The hook calls that run: what a stop has to wait for, and what may become too much. */

import type { AskedModule, Asker, Question } from './asker.ts';
import { FairCount } from './fair-count.ts';
import type { Verdict } from './verdict.ts';

export interface RunningCalls {
  /**
   * Asks, and remembers the call for as long as it runs. To be awaited only where there is
   * something to wait for: most hooks answer at once.
   * @throws SyncError, or rejects with it, for any verdict but `ok`
   */
  ask<T>(question: Question<T>, module: AskedModule): T | Promise<T>;
  /** The same for a call that nobody waits for; never throws. */
  tell(question: Question<void>, module: AskedModule, databaseId: string): void;
  /** Gives up, when it is aborted, whatever runs or is still to come. */
  readonly stop: AbortSignal;
  /** An operation begins that asks several times: what runs has not settled before it is released. */
  hold(): void;
  release(): void;
  /** Waits for what runs; after the deadline gives up what is left, for good. */
  drain(deadlineMs: number): Promise<void>;
  /** Waits for what runs. */
  settled(): Promise<void>;
  /**
   * Resolves when a call has ended that nobody waits for; `undefined` while so few run that a database
   * may have more of them.
   */
  pressureOn(databaseId: string): Promise<void> | undefined;
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
  let held = 0;
  const idle = new Moment();
  const told = new FairCount(toldMax);
  const relief = new Moment();

  function ended(): void {
    if (--running === 0) idle.come();
  }

  async function settled(): Promise<void> {
    // A call that ends may have let another begin: a disconnect, for one.
    while (running + held > 0) await idle.promise;
  }

  async function givenUp(): Promise<void> {
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

    tell(question, module, databaseId) {
      const answer = ask(question, module);
      if (typeof answer !== 'function') return;
      running++;
      told.add(databaseId);
      answer(() => {
        told.remove(databaseId);
        relief.come();
        ended();
      });
    },

    hold() {
      held++;
    },

    release() {
      if (--held === 0) idle.come();
    },

    stop: stop.signal,
    settled,

    async drain(deadlineMs) {
      const reason = new Error(`not done ${deadlineMs} ms after the server began to stop`);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          stop.abort(reason);
          resolve();
        }, deadlineMs);
      });
      await Promise.race([settled(), late]);
      clearTimeout(timer);
      // What is still held is refused whatever it asks from now on.
      await givenUp();
    },

    pressureOn: (databaseId) => (told.isFullFor(databaseId) ? relief.promise : undefined),
  };
}

function toValue<T>(verdict: Verdict<T>): T {
  if (verdict.outcome !== 'ok') throw verdict.error;
  return verdict.value;
}
