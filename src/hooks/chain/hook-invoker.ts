/**
 * One generation of hook modules, compiled when it is loaded: each hook has a list of steps, one
 * for each module, in the order of the modules. A step makes one call and fails closed: it returns
 * the value of the answer, or throws the SyncError that the client gets. `kinds.ts` defines how the
 * steps of a hook combine.
 */

import type { SyncError } from '../../errors/sync-error.ts';
import type { Logger } from '../../logging/logger.ts';
import { type Call, runCall } from '../call.ts';
import { type HookName, type HookOfKind, recordByHook } from '../kinds.ts';
import { findAborted, type Signals } from '../on-abort.ts';
import {
  describeBriefly,
  type Failure,
  type HookAnswer,
  type HookOutcome,
  PASSED,
  type Refusal,
  toRefusal,
} from '../refusal.ts';
import { RefusalLines } from '../refusal-lines.ts';
import type { ClientIdentity } from '../types.ts';
import type { HookStep, Invocation, InvokedModule, Reading } from './hook-step.ts';
import { RunningCalls } from './running-calls.ts';
import { isThenable, settleInTime } from './settle-in-time.ts';
import { createViewKey } from './view-key.ts';
import { Visits } from './visits.ts';

/** Counts one call, for metrics. */
export type ObserveCall = (outcome: HookOutcome, seconds: number) => void;

export interface HookInvokerOptions {
  /** The longest time of one call of one hook. */
  timeoutMs: number;
  /**
   * Gives up the calls that clients wait for. Abort it when running operations must end, not when
   * the server only begins to stop. It does not affect notify hooks, which `drain` ends.
   */
  signal?: AbortSignal;
  /**
   * The number of running notify calls from which on `notifiable` makes callers wait. Default:
   * no limit.
   */
  notifyCallsMax?: number;
  /**
   * Default: `sync-coordinator:auth` for onAuthenticate, `sync-coordinator:hooks` for the others.
   */
  logger?: Logger;
  /**
   * Shared by all generations of modules. Default: one for this generation, which logs to `logger`.
   */
  lines?: RefusalLines;
  /** Gives the function that counts the calls of a module's hook. */
  observer?(hook: HookName, module: string): ObserveCall;
  /** Called whenever a module refuses a client's operation. */
  forbidden?(client: ClientIdentity, hook: HookName, error: SyncError, answer: HookAnswer): void;
}

function compileStep(
  hook: HookName,
  module: InvokedModule,
  place: number,
  options: HookInvokerOptions,
  { running, lines }: { running: RunningCalls; lines: RefusalLines },
): HookStep {
  const { name, timeoutMs = options.timeoutMs } = module;
  const observe = options.observer?.(hook, name);

  const secondsSince = (startedAtMs: number) => (performance.now() - startedAtMs) / 1000;

  function read<Value>(
    reading: Reading<Value>,
    call: Call,
    answer: unknown,
    startedAtMs: number,
  ): Value | Promise<Value> {
    const invalid = (fault: unknown) => refuse(reading, call, 'invalid', fault, startedAtMs);
    let value: Value | Promise<Value>;
    try {
      value = reading.read(answer);
    } catch (fault) {
      throw invalid(fault);
    }
    if (value instanceof Promise) return readLong(value, invalid, startedAtMs);
    observe?.('ok', secondsSince(startedAtMs));
    return value;
  }

  async function readLong<Value>(
    reading: Promise<Value>,
    invalid: (fault: unknown) => SyncError,
    startedAtMs: number,
  ): Promise<Value> {
    running.begin();
    try {
      const value = await reading;
      observe?.('ok', secondsSince(startedAtMs));
      return value;
    } catch (fault) {
      throw invalid(fault);
    } finally {
      running.end();
    }
  }

  function refuse<Value>(
    { secret, onRefusal }: Reading<Value>,
    call: Call | undefined,
    failure: Failure,
    cause: unknown,
    startedAtMs: number,
  ): SyncError {
    const refusal = toRefusal(hook, failure, cause);
    observe?.(refusal.outcome, secondsSince(startedAtMs));
    onRefusal?.({ module: name, answer: describeBriefly(refusal, secret) }, refusal);
    const remoteAddress = call?.remoteAddress;
    lines.add({ hook, module: name, refusal, remoteAddress, secret });
    return refusal.error;
  }

  function wait<Value>(
    reading: Reading<Value>,
    call: Call,
    answer: PromiseLike<unknown>,
    signals: Signals,
    startedAtMs: number,
  ): Promise<Value> {
    running.begin();
    return new Promise((resolve, reject) => {
      settleInTime(call, answer, timeoutMs, signals, (settled) => {
        try {
          if (settled.outcome === 'ok') resolve(read(reading, call, settled.answer, startedAtMs));
          else reject(refuse(reading, call, settled.outcome, settled.error, startedAtMs));
        } catch (error) {
          reject(error);
        }
        running.end();
      });
    });
  }

  function invoke<Value, C extends Call>(
    invocation: Invocation<Value, C>,
    signals: Signals,
  ): Value | Promise<Value> {
    const startedAtMs = performance.now();
    const aborted = findAborted(signals);
    if (aborted !== undefined) {
      throw refuse(invocation, undefined, 'aborted', aborted.reason, startedAtMs);
    }
    let call: C | undefined;
    let answer: unknown;
    try {
      call = invocation.newCall();
      answer = runCall(call, invocation.run, module);
      if (isThenable(answer)) return wait(invocation, call, answer, signals, startedAtMs);
    } catch (error) {
      throw refuse(invocation, call, 'error', error, startedAtMs);
    }
    return read(invocation, call, answer, startedAtMs);
  }

  return { module, place, invoke };
}

export class HookInvoker {
  /** Whether any module has the hook: if not, callers need not prepare anything for it. */
  readonly has: Readonly<Record<HookName, boolean>>;
  readonly steps: Readonly<Record<HookName, readonly HookStep[]>>;
  readonly running: RunningCalls;
  readonly visits: Visits;
  readonly viewKey: (client: ClientIdentity) => string | undefined;
  readonly #options: HookInvokerOptions;

  constructor(modules: readonly InvokedModule[], options: HookInvokerOptions) {
    this.#options = options;
    this.running = new RunningCalls(options.notifyCallsMax);
    const { running } = this;
    const { lines = new RefusalLines(options.logger) } = options;
    this.steps = recordByHook((hook) =>
      modules.flatMap((module, place) =>
        module.hooks[hook] === undefined
          ? []
          : [compileStep(hook, module, place, options, { running, lines })],
      ),
    );
    this.has = recordByHook((hook) => this.steps[hook].length > 0);
    this.visits = new Visits(this);
    this.viewKey = createViewKey(
      this.steps.onBeforeSendChanges.map(({ module }) => module),
      lines,
    );
  }

  /** Whether a module demands that batches are decided about and stored one after the other. */
  isSerialIn(databaseId: string): boolean {
    return this.steps.onBeforeApplyChanges.some(
      ({ module: { isSerial, databases } }) =>
        isSerial === true && (databases?.includes(databaseId) ?? true),
    );
  }

  /** The first answer that has a value. `answers` gets the modules that passed. */
  async first<Value>(
    hook: HookOfKind<'first'>,
    invocation: Invocation<Value | undefined>,
    answers: HookAnswer[],
  ): Promise<Value | undefined> {
    const signals = this.#signalsWith(invocation);
    for (const step of this.steps[hook]) {
      const answer = step.invoke(invocation, signals);
      const value = answer instanceof Promise ? await answer : answer;
      if (value !== undefined) return value;
      answers.push({ module: step.module.name, answer: PASSED });
    }
    return undefined;
  }

  /**
   * Rejects with the first refusal.
   * @param answers gets the answer of the refusing module, instead of `forbidden`
   */
  async all(
    hook: HookOfKind<'all'>,
    client: ClientIdentity,
    { run, read, newCall, signal }: Invocation<void>,
    answers?: HookAnswer[],
  ): Promise<void> {
    const onRefusal = (answer: HookAnswer, { outcome, error }: Refusal) => {
      if (answers !== undefined) answers.push(answer);
      else if (outcome === 'refused') this.#options.forbidden?.(client, hook, error, answer);
    };
    const invocation = { run, read, newCall, signal, onRefusal };
    const signals = this.#signalsWith(invocation);
    for (const step of this.steps[hook]) {
      const answer = step.invoke(invocation, signals);
      if (answer instanceof Promise) await answer;
    }
  }

  /**
   * Each module makes the next state from the one before.
   * @param next makes the invocation of a module; `undefined` if there is nothing left to pass on
   */
  async pipeline<State, C extends Call>(
    hook: HookOfKind<'pipeline'>,
    initial: State,
    next: (state: State) => Invocation<State, C> | undefined,
  ): Promise<State> {
    let state = initial;
    let signals: Signals | undefined;
    for (const step of this.steps[hook]) {
      const invocation = next(state);
      if (invocation === undefined) break;
      // The caller's signal is the same for all steps.
      signals ??= this.#signalsWith(invocation);
      const answer = step.invoke(invocation, signals);
      state = answer instanceof Promise ? await answer : answer;
    }
    return state;
  }

  /** Invokes all without waiting; never throws. */
  notify<C extends Call>(
    hook: HookOfKind<'notify'>,
    { databaseId = '' }: ClientIdentity,
    invocation: Invocation<void, C>,
    steps = this.steps[hook],
  ): void {
    for (const step of steps) {
      try {
        const call = step.invoke(invocation, [this.running.stop]);
        if (call instanceof Promise) this.running.countNotified(databaseId, call);
      } catch {
        // It has been counted and logged. No client gets the error.
      }
    }
  }

  #signalsWith({ signal }: { signal?: AbortSignal | undefined }): Signals {
    return [this.#options.signal, this.running.stop, signal];
  }
}
