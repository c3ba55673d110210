/**
 * Waits for the answer of a hook that has returned a promise: the call ends with the answer, with
 * its time limit, or with a signal, whichever is first. A later answer or rejection of the hook is
 * ignored, and is no unhandled rejection.
 */

import { AsyncResource } from 'node:async_hooks';
import { type Call, runCall } from '../call.ts';
import { findAborted, onAbort, type Signals } from '../on-abort.ts';

export type Settled =
  | { outcome: 'ok'; answer: unknown }
  | { outcome: 'error' | 'timeout' | 'aborted'; error: unknown };

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}

/** Calls the `then` of a thenable within the current async context. */
function adopt(answer: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(answer);
}

/**
 * @param onSettled called once; synchronously if the `then` of the answer calls back synchronously
 */
export function settleInTime(
  call: Call,
  answer: PromiseLike<unknown>,
  timeoutMs: number,
  signals: Signals,
  onSettled: (settled: Settled) => void,
): void {
  const pending = new Pending(call, timeoutMs, signals, onSettled);
  try {
    // Promise.resolve also handles thenables that call back twice or throw. The `then` of a query
    // builder runs its query, which belongs to the call.
    runCall(call, adopt, answer).then(
      (value: unknown) => pending.settle({ outcome: 'ok', answer: value }),
      (error: unknown) => pending.settle({ outcome: 'error', error }),
    );
  } catch (error) {
    // Reading the members of a thenable may throw.
    pending.settle({ outcome: 'error', error });
  }
  limitAtEndOfTurn(pending);
}

/** A call without an answer. One object, since the garbage of a call costs more than its work. */
class Pending {
  readonly #call: Call;
  readonly #timeoutMs: number;
  readonly #signals: Signals;
  readonly #onSettled: (settled: Settled) => void;
  #isSettled = false;
  /** Ends its limits, once they have begun. */
  #unlimit: (() => void) | undefined;

  constructor(
    call: Call,
    timeoutMs: number,
    signals: Signals,
    onSettled: (settled: Settled) => void,
  ) {
    this.#call = call;
    this.#timeoutMs = timeoutMs;
    this.#signals = signals;
    this.#onSettled = onSettled;
  }

  settle(settled: Settled): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#unlimit?.();
    this.#onSettled(settled);
  }

  limit(): void {
    if (this.#isSettled) return;
    const aborted = findAborted(this.#signals);
    if (aborted !== undefined) {
      this.#giveUp('aborted', aborted.reason);
      return;
    }
    const late = () => this.#giveUp('timeout', new Error(`no answer within ${this.#timeoutMs} ms`));
    const timer = setTimeout(late, this.#timeoutMs);
    const unlisten = this.#signals.flatMap((signal) =>
      signal === undefined ? [] : [onAbort(signal, (reason) => this.#giveUp('aborted', reason))],
    );
    this.#unlimit = () => {
      clearTimeout(timer);
      for (const off of unlisten) off();
    };
  }

  #giveUp(outcome: 'timeout' | 'aborted', error: unknown): void {
    this.settle({ outcome, error });
    this.#call.abort(error);
  }
}

/**
 * Time limits start at the end of the turn: most async hooks wait for nothing, and have answered by
 * then. A microtask for each call, to check whether it had, took longer than the call.
 */
let delayed: Pending[] = [];
/**
 * An async context of its own: otherwise all timers would run in the context of the first caller.
 */
const outside = new AsyncResource('HookTimeLimits');

function limitAtEndOfTurn(pending: Pending): void {
  if (delayed.length === 0) outside.runInAsyncScope(setImmediate, undefined, limitDelayed);
  delayed.push(pending);
}

function limitDelayed(): void {
  const all = delayed;
  delayed = [];
  for (const pending of all) pending.limit();
}
