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

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}

export function callBounded(
  invoke: (call: HookCall) => unknown,
  { timeoutMs, signals }: CallLimits,
): Promise<Settled> {
  const parents = signals.filter((signal) => signal !== undefined);
  const gone = parents.find((signal) => signal.aborted);
  if (gone !== undefined) return Promise.resolve({ outcome: 'aborted', error: gone.reason });

  const controller = new AbortController();
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    let unlisten: readonly (() => void)[] = [];

    function settle(settled: Settled): void {
      clearTimeout(timer);
      for (const off of unlisten) off();
      resolve(settled);
    }
    function giveUp(reason: unknown): void {
      settle({ outcome: 'aborted', error: reason });
      controller.abort(reason);
    }
    function timeOut(): void {
      const error = new Error(`no answer within ${timeoutMs} ms`);
      settle({ outcome: 'timeout', error });
      controller.abort(error);
    }

    try {
      const answer = invoke({ signal: controller.signal });
      if (!isThenable(answer)) return settle({ outcome: 'ok', answer });
      timer = setTimeout(timeOut, timeoutMs);
      unlisten = parents.map((parent) => onAbort(parent, giveUp));
      // Promise.resolve also tames thenables that call back twice or throw.
      Promise.resolve(answer).then(
        (value: unknown) => settle({ outcome: 'ok', answer: value }),
        (error: unknown) => settle({ outcome: 'error', error }),
      );
    } catch (error) {
      settle({ outcome: 'error', error });
    }
  });
}
