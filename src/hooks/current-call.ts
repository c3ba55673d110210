/**
 * The package's `current-call`. Importing it has calls followed, which costs: so it is no part of
 * the main entry, which every server imports.
 */

import { callUnderWay, followCalls } from './call.ts';
import type { HookCall } from './types.ts';

followCalls();

/**
 * What the hook that runs got as its call, wherever this is called from: also from what a hook calls,
 * and after it has waited for something. `undefined` outside of hooks.
 */
export function currentCall(): HookCall | undefined {
  return callUnderWay();
}
