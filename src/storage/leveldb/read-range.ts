/** Reads the entries of a range of one LevelDB. */

import type { ClassicLevel, Iterator, Snapshot } from 'classic-level';
import type { KVEntry, KVRange } from '../kv-store.ts';
import { bytesPerRead } from '../read-size.ts';
import { readError } from './errors.ts';
import { noteRead } from './minor-gc.ts';

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/**
 * Larger reads are hardly quicker, and their bytes are in memory twice until they are copied out of
 * LevelDB. A longer entry is read alone.
 */
const BYTES_PER_READ_MAX = 512 * 1024;
const ENTRIES_PER_READ = 1000;

export interface RangeReadOptions {
  snapshot: Snapshot | undefined;
  assertOpen: (() => void) | undefined;
}

/** @throws SyncError STORE_UNAVAILABLE */
export async function* readRange(
  level: Level,
  range: KVRange,
  { snapshot, assertOpen }: RangeReadOptions,
): AsyncGenerator<readonly KVEntry[], void, undefined> {
  assertOpen?.();
  // abstract-level takes properties that are `undefined` as bounds.
  const { gt, gte, lt, reverse = false, limit = Number.POSITIVE_INFINITY } = range;
  const low = gt !== undefined ? { gt } : gte !== undefined ? { gte } : {};
  const highWaterMarkBytes = bytesPerRead(range, BYTES_PER_READ_MAX);
  try {
    // It is not told the limit: once it has met that it reads nothing, which `letGo` needs.
    const stop = new Stop();
    const options = { ...low, lt, reverse, snapshot, highWaterMarkBytes, signal: stop.signal };
    const iterator = level.iterator(options);
    let keptBytes = 0;
    try {
      for (let left = limit; left > 0; ) {
        noteRead(keptBytes);
        const entries = await iterator.nextv(Math.min(ENTRIES_PER_READ, left));
        keptBytes = bytesOf(entries);
        if (entries.length === 0) return;
        left -= entries.length;
        yield entries;
      }
    } finally {
      noteRead(keptBytes);
      if (keptBytes > BYTES_PER_READ_MAX) await letGo(iterator, stop);
      await iterator.close();
    }
  } catch (error) {
    throw readError(error);
  }
}

function bytesOf(entries: readonly KVEntry[]): number {
  return entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}

/**
 * An iterator has a copy of what it read last, until V8 collects the iterator, closed or not. V8 knows
 * nothing of that copy, so it may wait for long: dozens of readers of one long row each took its
 * length many times over. A read frees the copy before it begins, and this one reads nothing.
 */
async function letGo(iterator: Iterator<Level, Uint8Array, Uint8Array>, stop: Stop): Promise<void> {
  stop.now();
  // It fails, as it is aborted, or since the store was closed meanwhile.
  await iterator.nextv(1).catch(() => undefined);
}

/**
 * Aborts the reads of an iterator. In place of an `AbortController`, whose signal costs as much as a short
 * read, and would have later reads refused before they free anything.
 */
class Stop {
  #abort: (() => void) | undefined;

  /** All that an iterator asks of one. */
  get signal(): AbortSignal {
    const addEventListener = (_type: string, abort: () => void) => {
      this.#abort = abort;
    };
    const signal = { aborted: false, addEventListener, removeEventListener: () => undefined };
    return signal as unknown as AbortSignal;
  }

  now(): void {
    this.#abort?.();
  }
}
