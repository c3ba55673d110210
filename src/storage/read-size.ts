/** How much of a range a store reads at once. */

import type { KVRange } from './kv-store.ts';

export const ENTRIES_PER_READ = 1000;

/** Equal parts of what is wanted: the last one would else be read for a few entries of it. */
export function bytesPerRead(
  { bytes = Number.POSITIVE_INFINITY }: KVRange,
  bytesMax: number,
): number {
  if (bytes === Number.POSITIVE_INFINITY) return bytesMax;
  return Math.ceil(bytes / Math.max(1, Math.ceil(bytes / bytesMax)));
}
