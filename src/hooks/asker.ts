/**
 * Asks one module's hook: bounded, judged, counted and logged. The chain decides in
 * which order, and what several answers mean together.
 */

import { createLogger, type Logger } from '../logger.ts';
import { callBounded, type Settled, UnsettledCall } from './call.ts';
import type { CallOrigin } from './call-origin.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';
import type { LoadedHooks } from './loaded-hooks.ts';
import type { CoordinatorHooks, HookCall } from './types.ts';
import {
  describeBriefly,
  describeCause,
  type HookOutcome,
  judge,
  type Refusal,
  type Verdict,
} from './verdict.ts';

export interface AskerOptions {
  /** The longest that one call of one hook may take. */
  timeoutMs: number;
  /** Instead of `sync-coordinator:auth` (onAuthenticate) and `sync-coordinator:hooks` (the others). */
  logger?: Logger;
  /** Told of every call that was made, for metrics. */
  observe?(hook: HookName, module: string, outcome: HookOutcome, seconds: number): void;
}

/** Calls one hook as a method, so that a class instance keeps its `this`. */
export type Invoke = (hooks: CoordinatorHooks, call: HookCall) => unknown;

export interface Question<T> {
  hook: HookName;
  invoke: Invoke;
  /** Makes the value of the answer, or throws if it is none. */
  read(answer: unknown): T;
  origin: CallOrigin;
  signals: readonly (AbortSignal | undefined)[];
  /** Must not be seen in a log. */
  secret?: string | undefined;
  /** Told when a module refuses, or fails to answer. */
  onRefusal?(refusal: Refusal, answer: HookAnswer): void;
}

/** What a module said to a client that is not let in, for the log. */
export interface HookAnswer {
  module: string;
  /** In a few words, `PASSED` if it did not know such credentials. Without the client's token. */
  answer: string;
}

export const PASSED = 'passed';

/** What the chain needs of a module. */
export type AskedModule = Pick<LoadedHooks, 'name' | 'hooks' | 'timeoutMs'> &
  Partial<Pick<LoadedHooks, 'isSerial' | 'databases'>>;

/** A verdict that is yet to come; to be called at once, and once. */
export type Later<T> = (tell: (verdict: Verdict<T>) => void) => void;

/** At once where the hook answers at once: a chain of such hooks costs no turn of the event loop. */
export type Asker = <T>(question: Question<T>, module: AskedModule) => Verdict<T> | Later<T>;

const authLog = createLogger('sync-coordinator:auth');
const hooksLog = createLogger('sync-coordinator:hooks');

export function createAsker({ timeoutMs, logger, observe }: AskerOptions): Asker {
  function log<T>(module: string, question: Question<T>, refusal: Refusal): void {
    const { hook, secret } = question;
    const target = logger ?? (hook === 'onAuthenticate' ? authLog : hooksLog);
    const { outcome, error, cause } = refusal;
    const isWaitedFor = HOOK_KINDS[hook] !== 'notify';
    question.onRefusal?.(refusal, { module, answer: describeBriefly(refusal, secret) });
    // Strangers decide how often this is: whoever is told above has a line for them, which is bounded.
    if (hook === 'onAuthenticate') {
      target('%s: %s %s: %s', module, hook, outcome, describeCause(cause, secret));
      return;
    }
    // What a hook says to the client, and a client that has gone, are no failures.
    if (isWaitedFor && (error === cause || outcome === 'aborted')) {
      target('%s: %s %s with %s', module, hook, outcome, error.code);
    } else {
      target.error('%s: %s %s: %s', module, hook, outcome, describeCause(cause, secret));
    }
  }

  function finish<T>(
    question: Question<T>,
    module: AskedModule,
    settled: Settled,
    startedAtMs: number,
  ): Verdict<T> {
    const { hook, read } = question;
    const verdict = judge(hook, settled, read);
    observe?.(hook, module.name, verdict.outcome, (performance.now() - startedAtMs) / 1000);
    if (verdict.outcome !== 'ok') log(module.name, question, verdict);
    return verdict;
  }

  return <T>(question: Question<T>, module: AskedModule) => {
    const { invoke, origin, signals } = question;
    const startedAtMs = performance.now();
    const settled = callBounded((call) => invoke(module.hooks, call), {
      timeoutMs: module.timeoutMs ?? timeoutMs,
      origin,
      signals,
    });
    if (!(settled instanceof UnsettledCall)) return finish(question, module, settled, startedAtMs);
    return (tell: (verdict: Verdict<T>) => void) =>
      settled.onSettled((outcome) => tell(finish(question, module, outcome, startedAtMs)));
  };
}
