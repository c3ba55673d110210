/** Decides how much of a range a store reads at once. */

import type { KVRange } from './kv-store.ts';

/**
 * Divides the wanted bytes of a range into equal reads. Otherwise the last read could fetch
 * `bytesMax` for a few wanted entries.
 * @param bytesMax the most that is in memory at a time
 */
export function bytesPerRead(
  { bytes = Number.POSITIVE_INFINITY }: KVRange,
  bytesMax: number,
): number {
  if (bytes === Number.POSITIVE_INFINITY) return bytesMax;
  return Math.ceil(bytes / Math.max(1, Math.ceil(bytes / bytesMax)));
}
