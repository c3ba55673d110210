/**
 * One call of one hook, bounded: it ends when the hook answers, when its time is up
 * or when somebody gives it up, whichever is first, and always as a value. Whatever
 * the hook does after that (answer, reject) is ignored, and is no unhandled rejection.
 */

import { onAbort } from './on-abort.ts';
import type { HookCall } from './types.ts';

export type Settled =
  | { outcome: 'ok'; answer: unknown }
  | { outcome: 'error'; error: unknown }
  | { outcome: 'timeout'; error: Error }
  | { outcome: 'aborted'; error: unknown };

export interface CallLimits {
  timeoutMs: number;
  /** Any of these gives the call up. */
  signals: readonly (AbortSignal | undefined)[];
}

/** Most hooks never look at their signal, so it is made when they do. */
class Call implements HookCall {
  #controller: AbortController | undefined;
  #end: { reason: unknown } | undefined;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#end !== undefined) this.#controller.abort(this.#end.reason);
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#end = { reason };
    this.#controller?.abort(reason);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}

/** A hook that answers at once is settled at once: no promise, no timer. */
export function callBounded(
  invoke: (call: HookCall) => unknown,
  { timeoutMs, signals }: CallLimits,
): Settled | Promise<Settled> {
  for (const signal of signals) {
    if (signal?.aborted) return { outcome: 'aborted', error: signal.reason };
  }
  const call = new Call();
  try {
    const answer = invoke(call);
    if (!isThenable(answer)) return { outcome: 'ok', answer };
    return waitBounded(answer, call, { timeoutMs, signals });
  } catch (error) {
    return { outcome: 'error', error };
  }
}

function waitBounded(
  answer: PromiseLike<unknown>,
  call: Call,
  { timeoutMs, signals }: CallLimits,
): Promise<Settled> {
  return new Promise((resolve) => {
    let isSettled = false;
    let timer: NodeJS.Timeout | undefined;
    let unlisten: ((() => void) | undefined)[] | undefined;

    function settle(settled: Settled): void {
      isSettled = true;
      clearTimeout(timer);
      if (unlisten !== undefined) for (const off of unlisten) off?.();
      resolve(settled);
    }
    function giveUp(reason: unknown): void {
      settle({ outcome: 'aborted', error: reason });
      call.abort(reason);
    }
    function timeOut(): void {
      const error = new Error(`no answer within ${timeoutMs} ms`);
      settle({ outcome: 'timeout', error });
      call.abort(error);
    }

    /** Not for an answer that is there already: most async hooks wait for nothing. */
    function watch(): void {
      if (isSettled) return;
      const aborted = signals.find((signal) => signal?.aborted);
      if (aborted !== undefined) {
        giveUp(aborted.reason);
        return;
      }
      timer = setTimeout(timeOut, timeoutMs);
      unlisten = signals.map((signal) => signal && onAbort(signal, giveUp));
    }

    try {
      // Promise.resolve also tames thenables that call back twice or throw.
      Promise.resolve(answer).then(
        (value: unknown) => settle({ outcome: 'ok', answer: value }),
        (error: unknown) => settle({ outcome: 'error', error }),
      );
      queueMicrotask(watch);
    } catch (error) {
      // A promise whose own members throw.
      settle({ outcome: 'error', error });
    }
  });
}
