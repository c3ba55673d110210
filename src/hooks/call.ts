/** The `call` argument of hooks, and how code that a hook calls finds the current one. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { decodeHlc, type Hlc, type HlcText } from '../clock/hlc.ts';
import type { BatchReader } from './reader.ts';
import type { AppliedCall, ApplyCall, CallOrigin, ChangeOutcome, HookCall } from './types.ts';

/** The signal is made only when a hook reads it, since most never do. */
export class Call implements HookCall {
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
    const controller = this.#controller;
    // Listeners belong to the hook, so they run as part of its call.
    if (controller !== undefined) runCall(this, () => controller.abort(reason), undefined);
  }
}

export class CallBeforeApply extends Call implements ApplyCall {
  readonly #makeReader: () => BatchReader;
  #reader: BatchReader | undefined;
  /** Absent, not `false`, if the tables have the names that they were sent under. */
  declare isOtherName?: true;

  constructor(origin: CallOrigin, makeReader: () => BatchReader, isOtherName: boolean) {
    super(origin);
    this.#makeReader = makeReader;
    if (isOtherName) this.isOtherName = true;
  }

  get read(): BatchReader {
    this.#reader ??= this.#makeReader();
    return this.#reader;
  }
}

export class CallAfterApply extends Call implements AppliedCall {
  readonly #position: HlcText | undefined;
  #decoded: Hlc | undefined;
  #make: () => ChangeOutcome[];
  #outcomes: ChangeOutcome[] | undefined;

  constructor(origin: CallOrigin, position: HlcText | undefined, make: () => ChangeOutcome[]) {
    super(origin);
    this.#position = position;
    this.#make = make;
  }

  get position(): Hlc | undefined {
    if (this.#position !== undefined) this.#decoded ??= decodeHlc(this.#position);
    return this.#decoded;
  }

  get outcomes(): readonly ChangeOutcome[] {
    this.#outcomes ??= this.#make();
    return this.#outcomes;
  }

  /** Filters the outcomes when they are made, for a module of only some tables. */
  keepOutcomes(isKept: (outcome: ChangeOutcome) => boolean): void {
    const all = this.#make;
    this.#make = () => all().filter(isKept);
    this.#outcomes = undefined;
  }
}

let calls: AsyncLocalStorage<HookCall> | undefined;

/**
 * From now on calls are tracked, until the process ends. Only once a module needs it: before
 * Node.js 24 it slows down every promise of the process.
 */
export function followCalls(): void {
  calls ??= new AsyncLocalStorage();
}

export function callUnderWay(): HookCall | undefined {
  return calls?.getStore();
}

export function runCall<C extends Call, Arg, Result>(
  call: C,
  run: (arg: Arg, call: C) => Result,
  arg: Arg,
): Result {
  return calls === undefined ? run(arg, call) : calls.run(call, run, arg, call);
}
