/**
 * Brings the content of a database into an empty store, in pieces, each of them durable. It may be
 * interrupted at any moment: until all is there and compared, the store has the mark of
 * `unfinished.ts` and nobody serves it, and another run goes on behind the last entry.
 */

import { SyncError } from '../../errors.ts';
import type { KVEntry, KVStore } from '../../storage/kv-store.ts';
import {
  decodeUnfinished,
  encodeUnfinished,
  refuseUnfinished,
  UNFINISHED_KEY,
} from '../../storage/unfinished.ts';
import { CONTENT_RANGE, type Content, digestOf, type TransferTally } from './content.ts';

/** One transaction takes about so many bytes, or so many entries. */
const PIECE_BYTES = 1024 * 1024;
const PIECE_ENTRIES = 4000;

export interface Filled {
  /** Those that an earlier run had written. */
  entriesBefore: number;
  /** Nothing was done: all was there and complete. */
  wasComplete: boolean;
}

/**
 * @throws Error if the store has other data
 * @throws SyncError STORE_DAMAGED, if the store gave back something else than it was given
 */
export async function fillStore(
  content: Content,
  store: KVStore,
  tally: TransferTally,
): Promise<Filled> {
  const found = await begin(content, store);
  if (found === 'complete') {
    if (isSame(content, await digestOf(store, tally)))
      return { entriesBefore: 0, wasComplete: true };
    throw new Error('it has other data already');
  }
  if (found === 'continued') {
    const entriesBefore = await write(content, store, tally);
    if (await finish(content, store, tally)) return { entriesBefore, wasComplete: false };
    // An earlier run was cut short while it cleared, or somebody changed the store.
  }
  if (found !== 'empty') await startOver(content, store);
  await write(content, store, tally);
  if (await finish(content, store, tally)) return { entriesBefore: 0, wasComplete: false };
  throw new SyncError('STORE_DAMAGED', 'the store does not hold what was written to it');
}

/** Marks the store, unless something is in it. */
function begin(
  content: Content,
  store: KVStore,
): Promise<'empty' | 'complete' | 'continued' | 'outdated'> {
  return store.exclusive(async (transaction) => {
    const [bytes] = await transaction.getMany([UNFINISHED_KEY]);
    if (bytes === undefined) {
      for await (const _entries of transaction.iterate({ ...CONTENT_RANGE, limit: 1 })) {
        return 'complete';
      }
      transaction.put(UNFINISHED_KEY, markOf(content, true));
      return 'empty';
    }
    const known = decodeUnfinished(bytes);
    if (known?.siteId !== content.siteId) {
      throw new Error(
        'it is an unfinished copy of another database: finish that one, or remove it',
      );
    }
    return known?.sha256 === content.digest.sha256 ? 'continued' : 'outdated';
  });
}

function markOf({ siteId, digest }: Content, isUsable: boolean): Uint8Array {
  return encodeUnfinished({ siteId, sha256: isUsable ? digest.sha256 : '' });
}

async function mark(store: KVStore, content: Content, isUsable: boolean): Promise<void> {
  await store.exclusive(async (transaction) => {
    transaction.put(UNFINISHED_KEY, markOf(content, isUsable));
  });
}

async function startOver(content: Content, store: KVStore): Promise<void> {
  // Not to be continued while entries are missing in front.
  await mark(store, content, false);
  for await (const entries of store.iterate(CONTENT_RANGE)) {
    await store.exclusive(async (transaction) => {
      for (const [key] of entries) transaction.delete(key);
    });
  }
  await mark(store, content, true);
}

/** Goes on behind the last entry. @returns how many were there */
async function write(content: Content, store: KVStore, tally: TransferTally): Promise<number> {
  let last: Uint8Array | undefined;
  for await (const [entry] of store.iterate({ ...CONTENT_RANGE, reverse: true, limit: 1 })) {
    last = entry?.[0];
  }
  let written = 0;
  for await (const piece of inPieces(content.entriesAfter(last))) {
    await store.exclusive(async (transaction) => {
      for (const [key, value] of piece) transaction.put(key, value);
    });
    written += piece.length;
    tally.done += piece.length;
  }
  const before = content.digest.entries - written;
  tally.done += before;
  return before;
}

async function* inPieces(
  reads: AsyncIterable<readonly KVEntry[]>,
): AsyncGenerator<readonly KVEntry[]> {
  let piece: KVEntry[] = [];
  let bytes = 0;
  for await (const entries of reads) {
    for (const entry of entries) {
      piece.push(entry);
      bytes += entry[0].length + entry[1].length;
      if (bytes < PIECE_BYTES && piece.length < PIECE_ENTRIES) continue;
      yield piece;
      piece = [];
      bytes = 0;
    }
  }
  if (piece.length > 0) yield piece;
}

/** Compares, and takes the mark away. @returns whether all is as it should be */
async function finish(content: Content, store: KVStore, tally: TransferTally): Promise<boolean> {
  if (!isSame(content, await digestOf(store, tally))) return false;
  await store.exclusive(async (transaction) => {
    // Somebody else may have begun another one; what he clears is not ours to release.
    const [bytes] = await transaction.getMany([UNFINISHED_KEY]);
    const known = bytes && decodeUnfinished(bytes);
    if (known?.sha256 !== content.digest.sha256) refuseUnfinished(bytes);
    transaction.delete(UNFINISHED_KEY);
  });
  return true;
}

function isSame({ digest }: Content, found: { entries: number; sha256: string }): boolean {
  return digest.entries === found.entries && digest.sha256 === found.sha256;
}
