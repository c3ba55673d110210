/**
 * Writes the content of a database to a store, in durable pieces, into an empty store or in place
 * of what it holds. It may be interrupted at any moment. Until all is written and compared, the
 * store has the mark of `unfinished.ts`, so no server serves it, and another run goes on after the
 * last entry.
 */

import { HEAD_KEY } from '../engine/records/keys.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { KVEntry, KVReader, KVStore } from '../storage/kv-store.ts';
import {
  decodeUnfinished,
  encodeUnfinished,
  refuseUnfinished,
  UNFINISHED_KEY,
  type Unfinished,
} from '../storage/unfinished.ts';
import { CONTENT_RANGE, type Content, digestOf, type TransferTally } from './content.ts';

/** The bytes and entries of one transaction, about. */
const PIECE_BYTES = 1024 * 1024;
const PIECE_ENTRIES = 4000;

export interface Filled {
  /** Entries that an earlier run had written. */
  entriesBefore: number;
  /** Whether all was there already, and nothing was written. */
  wasComplete: boolean;
}

export interface FillOptions {
  /** Deletes what the store holds, even an unfinished database. */
  replace?: boolean;
}

/** The store holds another database, which must not be replaced. */
export class OccupiedError extends Error {}

/**
 * @throws OccupiedError
 * @throws SyncError STORE_DAMAGED if the store returns other data than was written
 */
export async function fillStore(
  content: Content,
  store: KVStore,
  tally: TransferTally,
  { replace = false }: FillOptions = {},
): Promise<Filled> {
  const found = await begin(content, store, replace);
  if (found === 'complete') {
    if (isSame(content, await digestOf(store, tally)))
      return { entriesBefore: 0, wasComplete: true };
    throw new OccupiedError('it has other data already');
  }
  if (found === 'continued') {
    const entriesBefore = await write(content, store, tally);
    if (await finish(content, store, tally)) return { entriesBefore, wasComplete: false };
    // An earlier run was interrupted while it deleted entries, or another program changed the
    // store.
  }
  if (found !== 'empty') await startOver(content, store);
  await write(content, store, tally);
  if (await finish(content, store, tally)) return { entriesBefore: 0, wasComplete: false };
  throw new SyncError('STORE_DAMAGED', 'the store does not hold what was written to it');
}

/** Marks the store as unfinished, unless it holds something that must stay. */
function begin(
  content: Content,
  store: KVStore,
  replace: boolean,
): Promise<'empty' | 'complete' | 'continued' | 'outdated'> {
  return store.exclusive(async (transaction) => {
    const [bytes] = await transaction.getMany([UNFINISHED_KEY]);
    if (bytes === undefined && (await isEmpty(transaction))) {
      transaction.put(UNFINISHED_KEY, markOf(content, true));
      return 'empty';
    }
    const known = bytes && decodeUnfinished(bytes);
    if (known !== undefined && isOfSame(known, content)) {
      return known.sha256 === content.digest.sha256 ? 'continued' : 'outdated';
    }
    if (replace) {
      transaction.put(UNFINISHED_KEY, markOf(content, false));
      // Coordinators that have the database open notice that it is being replaced.
      transaction.delete(HEAD_KEY);
      return 'outdated';
    }
    if (bytes === undefined) return 'complete';
    const what = known?.file === undefined ? 'copy of another database' : 'import of another file';
    throw new OccupiedError(`it is an unfinished ${what}: finish that one, or remove it`);
  });
}

async function isEmpty(reader: KVReader): Promise<boolean> {
  for await (const _entries of reader.iterate({ ...CONTENT_RANGE, limit: 1 })) return false;
  return true;
}

function isOfSame(known: Unfinished, { siteId, origin = {} }: Content): boolean {
  return known.siteId === siteId && known.file === origin.file;
}

function markOf({ siteId, digest, origin }: Content, isUsable: boolean): Uint8Array {
  return encodeUnfinished({ siteId, sha256: isUsable ? digest.sha256 : '', ...origin });
}

async function mark(store: KVStore, content: Content, isUsable: boolean): Promise<void> {
  await store.exclusive(async (transaction) => {
    transaction.put(UNFINISHED_KEY, markOf(content, isUsable));
  });
}

async function startOver(content: Content, store: KVStore): Promise<void> {
  // Without a checksum no other run takes the remaining entries for its own.
  await mark(store, content, false);
  for await (const entries of store.iterate(CONTENT_RANGE)) {
    await store.exclusive(async (transaction) => {
      for (const [key] of entries) transaction.delete(key);
    });
  }
  await mark(store, content, true);
}

/** Writes entries after the last one in the store. @returns how many were there */
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

/** Compares, and removes the mark. @returns whether the content is right */
async function finish(content: Content, store: KVStore, tally: TransferTally): Promise<boolean> {
  if (!isSame(content, await digestOf(store, tally))) return false;
  await store.exclusive(async (transaction) => {
    // Another run may have begun to replace the content: then the mark is its own.
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
