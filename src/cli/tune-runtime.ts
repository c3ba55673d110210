/** What the command asks of V8, as the only program in its process. */

import { setFlagsFromString } from 'node:v8';

/**
 * V8 watches what outlives a collection, and from then on makes objects of such a place in the code
 * old from birth. What a transaction becomes outlives one only by chance, when the disk is slow for a
 * moment. After that it was garbage which only major collections find: every second process took
 * a tenth more CPU than the others, for as long as it lived.
 */
export function tuneRuntime(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
