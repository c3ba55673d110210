/** The hook calls that run: what a stop has to wait for, and what may become too much. */

import type { Asker } from './asker.ts';
import { HOOK_KINDS } from './kinds.ts';

export interface RunningCalls {
  /** Asks as `ask` does, and remembers the call for as long as it runs. */
  ask: Asker;
  /** Gives up, when it is aborted, whatever runs or is still to come. */
  readonly stop: AbortSignal;
  /** Waits for what runs; after the deadline gives up what is left, for good. */
  drain(deadlineMs: number): Promise<void>;
  /** Waits for what runs. */
  settled(): Promise<void>;
  /** Resolves once fewer notify calls run than may; `undefined` while that is so. */
  readonly pressure: Promise<void> | undefined;
}

/** @param notifyCallsMax nobody waits for these, so only this keeps them from piling up */
export function createRunningCalls(ask: Asker, notifyCallsMax: number): RunningCalls {
  const running = new Set<Promise<unknown>>();
  const stop = new AbortController();
  let notifyCalls = 0;
  let relief: { promise: Promise<void>; resolve(): void } | undefined;

  function ended(call: Promise<unknown>, isNotify: boolean): void {
    running.delete(call);
    if (!isNotify) return;
    notifyCalls--;
    if (notifyCalls >= notifyCallsMax) return;
    relief?.resolve();
    relief = undefined;
  }

  return {
    ask(question, module) {
      const answer = ask(question, module);
      if (!(answer instanceof Promise)) return answer;
      const isNotify = HOOK_KINDS[question.hook] === 'notify';
      if (isNotify) notifyCalls++;
      const call: Promise<unknown> = answer.then(
        () => ended(call, isNotify),
        () => ended(call, isNotify),
      );
      running.add(call);
      return answer;
    },

    stop: stop.signal,

    async settled() {
      while (running.size > 0) await Promise.all(running);
    },

    async drain(deadlineMs) {
      const reason = new Error(`not done ${deadlineMs} ms after the server began to stop`);
      const timer = setTimeout(() => stop.abort(reason), deadlineMs);
      // A call that ends may have let another begin: a disconnect, for one.
      while (running.size > 0) await Promise.all(running);
      clearTimeout(timer);
    },

    get pressure() {
      if (notifyCalls < notifyCallsMax) return undefined;
      if (relief === undefined) {
        let resolve = () => {};
        const promise = new Promise<void>((settle) => {
          resolve = settle;
        });
        relief = { promise, resolve };
      }
      return relief.promise;
    },
  };
}
