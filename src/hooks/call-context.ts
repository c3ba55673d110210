/**
 * The call of a hook that runs, for whatever that calls, however deep. Until somebody wants to know,
 * nothing is followed: before Node.js 24 it costs every promise of the process.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { HookCall } from './types.ts';

let calls: AsyncLocalStorage<HookCall> | undefined;

/** From now on calls are followed, for as long as the process runs. */
export function followCalls(): void {
  calls ??= new AsyncLocalStorage();
}

export function runCall<T>(call: HookCall, invoke: (call: HookCall) => T): T {
  return calls === undefined ? invoke(call) : calls.run(call, invoke, call);
}

export function callUnderWay(): HookCall | undefined {
  return calls?.getStore();
}
