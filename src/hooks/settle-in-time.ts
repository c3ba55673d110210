/**
 * Waits for the answer of a hook that has returned a promise: the call ends with the answer, with
 * its time limit, or with a signal, whichever is first. A later answer or rejection of the hook is
 * ignored, and is no unhandled rejection.
 */

import { AsyncResource } from 'node:async_hooks';
import { type Call, runCall } from './call.ts';
import { onAbort } from './on-abort.ts';

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
  signals: readonly (AbortSignal | undefined)[],
  onSettled: (settled: Settled) => void,
): void {
  let isSettled = false;
  let timer: NodeJS.Timeout | undefined;
  let unlisten: (() => void)[] = [];
  const settle = (settled: Settled) => {
    if (isSettled) return;
    isSettled = true;
    clearTimeout(timer);
    for (const off of unlisten) off();
    onSettled(settled);
  };
  const giveUp = (outcome: 'timeout' | 'aborted', error: unknown) => {
    settle({ outcome, error });
    call.abort(error);
  };
  try {
    // Promise.resolve also handles thenables that call back twice or throw. The `then` of a query
    // builder runs its query, which belongs to the call.
    const promised = runCall(call, adopt, answer);
    promised.then(
      (value: unknown) => settle({ outcome: 'ok', answer: value }),
      (error: unknown) => settle({ outcome: 'error', error }),
    );
  } catch (error) {
    // Reading the members of a thenable may throw.
    settle({ outcome: 'error', error });
  }
  atEndOfTurn(() => {
    if (isSettled) return;
    const aborted = signals.find((signal) => signal?.aborted);
    if (aborted !== undefined) return giveUp('aborted', aborted.reason);
    const late = () => giveUp('timeout', new Error(`no answer within ${timeoutMs} ms`));
    timer = setTimeout(late, timeoutMs);
    unlisten = signals.flatMap((signal) =>
      signal === undefined ? [] : [onAbort(signal, (reason) => giveUp('aborted', reason))],
    );
  });
}

/**
 * Time limits start at the end of the turn: most async hooks wait for nothing, and have answered by
 * then. A microtask for each call, to check whether it had, took longer than the call.
 */
let delayed: (() => void)[] = [];
/**
 * An async context of its own: otherwise all timers would run in the context of the first caller.
 */
const outside = new AsyncResource('HookTimeLimits');

function atEndOfTurn(work: () => void): void {
  if (delayed.length === 0) outside.runInAsyncScope(setImmediate, undefined, runDelayed);
  delayed.push(work);
}

function runDelayed(): void {
  const works = delayed;
  delayed = [];
  for (const work of works) work();
}
