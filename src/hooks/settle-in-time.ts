/**
 * A call whose hook has promised its answer ends when that comes, when its time is up or when a signal
 * gives it up, whichever is first. What the hook does after that (answer, reject) is ignored, and is no
 * unhandled rejection.
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

/** Has the `then` of what is no promise itself called in the context of this moment. */
function adopt(answer: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(answer);
}

/** @param onSettled is called once; at once, if the `then` of the answer calls back at once */
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
    // Promise.resolve also tames thenables that call back twice or throw.
    // A query builder runs its query in `then`: that belongs to the call.
    const promised = runCall(call, adopt, answer);
    promised.then(
      (value: unknown) => settle({ outcome: 'ok', answer: value }),
      (error: unknown) => settle({ outcome: 'error', error }),
    );
  } catch (error) {
    // The members of a promise may be anything.
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
 * Time runs from the end of the turn on: most async hooks wait for nothing, and have answered by
 * then. A microtask for each, to look whether it had, took longer than the call.
 */
let delayed: (() => void)[] = [];
/** Of no call and no caller: the timers of all would run in the context of whoever came first. */
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
