/** The types of the invoker's steps and their arguments. */

import type { Call } from '../call.ts';
import type { LoadedHooks } from '../loading/loaded-hooks.ts';
import type { Signals } from '../on-abort.ts';
import type { HookAnswer, Refusal } from '../refusal.ts';

/** What the invoker needs of a module. */
export type InvokedModule = Pick<LoadedHooks, 'name' | 'hooks' | 'timeoutMs'> &
  Partial<Pick<LoadedHooks, 'isSerial' | 'databases'>>;

/** How an answer is read. */
export interface Reading<Value> {
  /**
   * Makes the value of an answer; in turns with other work if it is long. Throws a SyncError to
   * refuse, or an InvalidAnswer.
   */
  read(answer: unknown): Value | Promise<Value>;
  /** Called if the module refuses or fails. */
  onRefusal?(answer: HookAnswer, refusal: Refusal): void;
  /** Text that must not appear in a log. */
  secret?: string | undefined;
}

/** How the modules are invoked. */
export interface Invocation<Value, C extends Call = Call> extends Reading<Value> {
  newCall(): C;
  /** Calls the module's hook as a method, so that a class instance keeps its `this`. */
  run(module: InvokedModule, call: C): unknown;
  /** The caller's signal: aborting it gives the call up. */
  signal?: AbortSignal | undefined;
}

/** One hook of one module. */
export interface HookStep {
  readonly module: InvokedModule;
  /** The index of the module among all. */
  readonly place: number;
  /**
   * Await only a promise: most hooks answer at once.
   * @throws SyncError, or rejects with it, unless the answer has a value
   */
  invoke<Value, C extends Call>(
    invocation: Invocation<Value, C>,
    signals: Signals,
  ): Value | Promise<Value>;
}
