/** How much of a range a store reads at once. */

import type { KVRange } from './kv-store.ts';

/**
 * How many bytes of a range to read at once, of which so many are wanted: equal parts of these, or the last
 * would be read for a few entries of it.
 * @param bytesMax the most that is in memory at a time
 */
export function bytesPerRead(
  { bytes = Number.POSITIVE_INFINITY }: KVRange,
  bytesMax: number,
): number {
  if (bytes === Number.POSITIVE_INFINITY) return bytesMax;
  return Math.ceil(bytes / Math.max(1, Math.ceil(bytes / bytesMax)));
}
