/**
 * An immutable ordered map of byte strings: a change makes a new map that shares most of the old
 * one. So a reference to a map is a consistent view.
 *
 * Layout: sorted chunks of sorted entries. A change copies the list of chunks and the chunks that
 * it touches, which takes microseconds up to some million keys.
 */

import type { KVEntry, KVRange } from './kv-store.ts';

type Chunk = readonly KVEntry[];

/** No chunk is empty. */
export type OrderedMap = readonly Chunk[];

/** `value` undefined deletes the key. */
export type KVChange = readonly [key: Uint8Array, value: Uint8Array | undefined];

export const EMPTY_MAP: OrderedMap = [];

const CHUNK_ENTRIES_MAX = 256;

export function valueByKey(map: OrderedMap, key: Uint8Array): Uint8Array | undefined {
  const chunk = map[chunkIndex(map, key)];
  const entry = chunk?.[lowerBound(chunk, key)];
  return entry !== undefined && Buffer.compare(entry[0], key) === 0 ? entry[1] : undefined;
}

/** The entries of a range in arrays, none of them empty. */
export function* entriesOfRange(map: OrderedMap, range: KVRange): Generator<Chunk> {
  const { gt, gte, lt, reverse = false } = range;
  const low = gt ?? gte;
  const first = low === undefined ? 0 : chunkIndex(map, low);
  const last = chunkIndex(map, lt);
  let left = range.limit ?? Number.POSITIVE_INFINITY;
  for (let step = 0; step <= last - first && left > 0; step++) {
    const chunk = map[reverse ? last - step : first + step];
    if (chunk === undefined) return;
    let from = low === undefined ? 0 : lowerBound(chunk, low);
    const at = chunk[from];
    if (gt !== undefined && at !== undefined && Buffer.compare(at[0], gt) === 0) from++;
    let part = chunk.slice(from, lowerBound(chunk, lt));
    if (reverse) part = part.reverse();
    if (part.length > left) part = part.slice(0, left);
    left -= part.length;
    if (part.length > 0) yield part;
  }
}

/** The map after `changes`; the last change of a key counts. */
export function withChanges(map: OrderedMap, changes: readonly KVChange[]): OrderedMap {
  const sorted = lastOfEachKey(changes);
  const result: Chunk[] = [];
  let copied = 0;
  let done = 0;
  while (done < sorted.length) {
    const start = sorted[done];
    if (start === undefined) break;
    const index = chunkIndex(map, start[0]);
    while (copied < index) result.push(map[copied++] ?? []);
    const nextKey = map[index + 1]?.[0]?.[0];
    let end = done + 1;
    for (; end < sorted.length; end++) {
      const change = sorted[end];
      if (change === undefined) break;
      if (nextKey !== undefined && Buffer.compare(change[0], nextKey) >= 0) break;
    }
    append(result, merge(map[index] ?? [], sorted.slice(done, end)));
    copied = index + 1;
    done = end;
  }
  while (copied < map.length) result.push(map[copied++] ?? []);
  return result;
}

function lastOfEachKey(changes: readonly KVChange[]): KVChange[] {
  const sorted = changes.toSorted((a, b) => Buffer.compare(a[0], b[0]));
  return sorted.filter((change, index) => {
    const next = sorted[index + 1];
    return next === undefined || Buffer.compare(change[0], next[0]) !== 0;
  });
}

function merge(chunk: Chunk, changes: readonly KVChange[]): KVEntry[] {
  const merged: KVEntry[] = [];
  let taken = 0;
  for (const [key, value] of changes) {
    const at = lowerBound(chunk, key);
    for (; taken < at; taken++) pushIfAny(merged, chunk[taken]);
    const old = chunk[taken];
    if (old !== undefined && Buffer.compare(old[0], key) === 0) taken++;
    if (value !== undefined) merged.push([key, value]);
  }
  for (; taken < chunk.length; taken++) pushIfAny(merged, chunk[taken]);
  return merged;
}

/** Adds entries as chunks: too many are split, few are added to the chunk before. */
function append(chunks: Chunk[], entries: KVEntry[]): void {
  const before = chunks.at(-1);
  if (before !== undefined && before.length + entries.length <= CHUNK_ENTRIES_MAX / 2) {
    chunks[chunks.length - 1] = [...before, ...entries];
    return;
  }
  // Half full, so that the next puts at the same place need no split.
  const size = entries.length > CHUNK_ENTRIES_MAX ? CHUNK_ENTRIES_MAX / 2 : CHUNK_ENTRIES_MAX;
  for (let from = 0; from < entries.length; from += size) {
    chunks.push(entries.slice(from, from + size));
  }
}

function pushIfAny(entries: KVEntry[], entry: KVEntry | undefined): void {
  if (entry !== undefined) entries.push(entry);
}

/** The index of the chunk for `key`: the last one that begins at or before it. */
function chunkIndex(map: OrderedMap, key: Uint8Array): number {
  let low = 0;
  let high = map.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = map[middle]?.[0]?.[0];
    if (first !== undefined && Buffer.compare(first, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** The number of entries of a chunk before `key`. */
function lowerBound(chunk: Chunk, key: Uint8Array): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = chunk[middle]?.[0];
    if (at !== undefined && Buffer.compare(at, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
