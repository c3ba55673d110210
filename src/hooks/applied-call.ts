/** What `onAfterApplyChanges` gets as its call. */

import type { Hlc } from '../clock/hlc.ts';
import type { AppliedCall, ChangeOutcome, HookCall } from './types.ts';

/** Without asking for the signal, which is made for whoever asks. */
export function toAppliedCall(
  call: HookCall,
  position: Hlc | undefined,
  make: () => ChangeOutcome[],
): AppliedCall {
  if (position !== undefined) Object.assign(call, { position });
  return withOutcomes(call, make);
}

/** The call with these outcomes, which are made when somebody looks. */
export function withOutcomes(call: HookCall, make: () => ChangeOutcome[]): AppliedCall {
  let made: ChangeOutcome[] | undefined;
  Object.defineProperty(call, 'outcomes', {
    configurable: true,
    get() {
      made ??= make();
      return made;
    },
  });
  // It has just been given them.
  return call as AppliedCall;
}
