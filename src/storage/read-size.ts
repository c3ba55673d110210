/** How much of a range a store reads at once. */

import type { KVRange } from './kv-store.ts';

export const ENTRIES_PER_READ = 1000;
const BYTES_PER_READ_MAX = 1024 * 1024;

/** Equal parts of what is wanted: the last one would else be read for a few entries of it. */
export function bytesPerRead({ bytes = Number.POSITIVE_INFINITY }: KVRange): number {
  if (bytes === Number.POSITIVE_INFINITY) return BYTES_PER_READ_MAX;
  return Math.ceil(bytes / Math.max(1, Math.ceil(bytes / BYTES_PER_READ_MAX)));
}
