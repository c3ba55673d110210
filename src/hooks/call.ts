/**
 * One call of one hook, bounded: it ends when the hook answers, when its time is up
 * or when somebody gives it up, whichever is first, and always as a value. Whatever
 * the hook does after that (answer, reject) is ignored, and is no unhandled rejection.
 */

import { runCall } from './call-context.ts';
import type { CallOrigin } from './call-origin.ts';
import { onAbort } from './on-abort.ts';
import type { HookCall } from './types.ts';

export type Settled =
  | { outcome: 'ok'; answer: unknown }
  | { outcome: 'error'; error: unknown }
  | { outcome: 'timeout'; error: Error }
  | { outcome: 'aborted'; error: unknown };

export interface CallLimits {
  timeoutMs: number;
  /** What the call is for. */
  origin: CallOrigin;
  /** Any of these gives the call up. */
  signals: readonly (AbortSignal | undefined)[];
}

/** What a hook gets. Most never look at their signal, so it is made when they do. */
class Call implements HookCall {
  readonly #origin: CallOrigin;
  #controller: AbortController | undefined;
  #end: { reason: unknown } | undefined;

  constructor(origin: CallOrigin) {
    this.#origin = origin;
  }

  get requestId(): string | undefined {
    return this.#origin.requestId;
  }

  get connectionId(): string | undefined {
    return this.#origin.connectionId;
  }

  get transport(): CallOrigin['transport'] {
    return this.#origin.transport;
  }

  get remoteAddress(): string | undefined {
    return this.#origin.remoteAddress;
  }

  get databaseId(): string | undefined {
    return this.#origin.databaseId;
  }

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
  limits: CallLimits,
): Settled | UnsettledCall {
  for (const signal of limits.signals) {
    if (signal?.aborted) return { outcome: 'aborted', error: signal.reason };
  }
  const call = new Call(limits.origin);
  try {
    const answer = runCall(call, invoke);
    if (!isThenable(answer)) return { outcome: 'ok', answer };
    return new UnsettledCall(answer, call, limits);
  } catch (error) {
    return { outcome: 'error', error };
  }
}

/** A call whose hook has promised an answer. */
export class UnsettledCall {
  readonly #call: Call;
  readonly #limits: CallLimits;
  #settled: Settled | undefined;
  #onSettled: ((settled: Settled) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void)[] = [];

  /** May throw what the answer throws: the members of a promise may be anything. */
  constructor(answer: PromiseLike<unknown>, call: Call, limits: CallLimits) {
    this.#call = call;
    this.#limits = limits;
    // Promise.resolve also tames thenables that call back twice or throw.
    Promise.resolve(answer).then(
      (value: unknown) => this.#settle({ outcome: 'ok', answer: value }),
      (error: unknown) => this.#settle({ outcome: 'error', error }),
    );
    watchLater(this);
  }

  /** For one listener. Told at once if it has settled: the `then` of a promise may be anybody's. */
  onSettled(listener: (settled: Settled) => void): void {
    if (this.#settled !== undefined) listener(this.#settled);
    else this.#onSettled = listener;
  }

  /** From now on its time runs, and it can be given up. */
  watch(): void {
    if (this.#settled !== undefined) return;
    const { timeoutMs, signals } = this.#limits;
    for (const signal of signals) {
      if (signal?.aborted) {
        this.#giveUp(signal.reason);
        return;
      }
    }
    this.#timer = setTimeout(() => this.#timeOut(), timeoutMs);
    for (const signal of signals) {
      if (signal === undefined) continue;
      this.#unlisten.push(onAbort(signal, (reason) => this.#giveUp(reason)));
    }
  }

  #giveUp(reason: unknown): void {
    this.#settle({ outcome: 'aborted', error: reason });
    this.#call.abort(reason);
  }

  #timeOut(): void {
    const error = new Error(`no answer within ${this.#limits.timeoutMs} ms`);
    this.#settle({ outcome: 'timeout', error });
    this.#call.abort(error);
  }

  #settle(settled: Settled): void {
    if (this.#settled !== undefined) return;
    this.#settled = settled;
    clearTimeout(this.#timer);
    for (const off of this.#unlisten) off();
    this.#onSettled?.(settled);
  }
}

/**
 * Calls are watched from the end of the turn on: most async hooks wait for nothing, and have
 * answered by then. A microtask for each, to look whether it had, took longer than the call.
 */
let unwatched: UnsettledCall[] = [];

function watchLater(call: UnsettledCall): void {
  if (unwatched.length === 0) setImmediate(watchAll);
  unwatched.push(call);
}

function watchAll(): void {
  const calls = unwatched;
  unwatched = [];
  for (const call of calls) call.watch();
}
