/** What the invoker's steps are made of, and are invoked with. */

import type { Call } from './call.ts';
import type { LoadedHooks } from './loaded-hooks.ts';
import type { HookAnswer, Refusal } from './refusal.ts';
import type { CoordinatorHooks } from './types.ts';

/** What the invoker needs of a module. */
export type InvokedModule = Pick<LoadedHooks, 'name' | 'hooks' | 'timeoutMs'> &
  Partial<Pick<LoadedHooks, 'isSerial' | 'databases'>>;

/** What an answer means. */
export interface Reading<Value> {
  /** Makes the value of an answer, or throws: a SyncError to refuse, an InvalidAnswer if it is none. */
  read(answer: unknown): Value;
  /** Takes up what a module says that refuses, or has failed to answer. */
  onRefusal?(answer: HookAnswer, refusal: Refusal): void;
  /** Must not be seen in a log. */
  secret?: string | undefined;
}

/** What the modules are invoked with. */
export interface Invocation<Value, C extends Call = Call> extends Reading<Value> {
  newCall(): C;
  /** Calls the hook as a method, so that a class instance keeps its `this`. */
  run(hooks: CoordinatorHooks, call: C): unknown;
  /** The caller's: aborted, it gives the call up. */
  signal?: AbortSignal | undefined;
}

export type Signals = readonly (AbortSignal | undefined)[];

/** One hook of one module. */
export interface HookStep {
  readonly module: InvokedModule;
  /** Of the module, among all. */
  readonly place: number;
  /**
   * To be awaited only where there is something to wait for: most hooks answer at once.
   * @throws SyncError, or rejects with it, unless the answer has a value
   */
  invoke<Value, C extends Call>(
    invocation: Invocation<Value, C>,
    signals: Signals,
  ): Value | Promise<Value>;
}
