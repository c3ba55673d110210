/**
 * The package's entry `current-call`. Importing it starts the tracking of calls, which costs time:
 * therefore it is not part of the main entry, which every server imports.
 */

import { callUnderWay, followCalls } from './call.ts';
import type { HookCall } from './types.ts';

followCalls();

/**
 * The `call` argument of the running hook. Works in all code that the hook calls, also after an
 * `await`. `undefined` outside of hooks.
 */
export function currentCall(): HookCall | undefined {
  return callUnderWay();
}
