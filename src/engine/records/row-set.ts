/**
 * The rows that one transaction works on: read together, changed in memory, written
 * together. A row that two change sets of a group touch is read once and written once.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { HLC_MIN } from '../../clock/hlc.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import { rowKey, rowToTombstoneKey } from './keys.ts';
import type { Pace } from './pace.ts';
import {
  bytesToText,
  createRow,
  decodeRow,
  decodeTombstone,
  encodeRow,
  encodeTombstone,
  isExpired,
  type Row,
  type Tombstone,
} from './row.ts';

export interface RowAddress {
  tableId: number;
  /** The identity of its primary key, see `pkIdentity`. */
  identity: string;
}

export interface LoadedRow {
  tableId: number;
  key: Buffer;
  row: Row;
  /** In characters, about as it is stored. */
  size: number;
  /** The number of its cells when it was read. */
  cellsBefore: number;
  /** Whether it was in the list of tombstones when it was read. */
  wasListed: boolean;
  changed: boolean;
}

/** Keys of one call to the store: handing over more of them blocks for too long. */
const KEYS_AT_ONCE = 2000;
/** Bytes of rows that one call reads at most, about. */
const BYTES_AT_ONCE = 32 * 1024 * 1024;
/** A database remembers the size of its longest row only if it is longer than this. */
export const SHORT_ROW_BYTES = Math.floor(BYTES_AT_ONCE / KEYS_AT_ONCE);

/** @param longestRow of the database, in bytes (see `Head.longestRow`) */
export function keysAtOnce(longestRow = SHORT_ROW_BYTES): number {
  return Math.max(1, Math.min(KEYS_AT_ONCE, Math.floor(BYTES_AT_ONCE / longestRow)));
}

/**
 * Reads keys in several calls.
 * @param values one for each key is appended to it
 * @param atOnce the keys of one call
 * @param take called with the bytes of each call
 */
export async function readInTurns(
  reader: KVReader,
  keys: readonly Uint8Array[],
  values: (Uint8Array | undefined)[],
  atOnce = KEYS_AT_ONCE,
  take?: (bytes: number) => void,
): Promise<void> {
  for (let from = 0; from < keys.length; from += atOnce) {
    const some = await reader.getMany(keys.slice(from, from + atOnce));
    for (const value of some) values.push(value);
    take?.(bytesOf(some));
  }
}

export function bytesOf(values: readonly (Uint8Array | undefined)[]): number {
  return values.reduce((bytes, value) => bytes + (value?.length ?? 0), 0);
}

export interface RowSetOptions {
  pace: Pace;
  /** See `readInTurns`. */
  atOnce(): number;
  take?: ((bytes: number) => void) | undefined;
}

/** The first character in the list of tombstones: the row is gone, or lives again. */
const DEAD = 'D';
const LIVE = 'L';

/** A tombstone in the list of tombstones, which holds none that has expired. */
export interface ListedTombstone extends Tombstone {
  position: HlcText;
  /** Whether the row is gone; otherwise it lives again. */
  isDead: boolean;
}

export function toRowKey({ tableId, identity }: RowAddress): Buffer {
  return rowKey(tableId, identity);
}

export function encodeListedTombstone(tombstone: Tombstone, isDead: boolean): Buffer {
  return Buffer.from(`${isDead ? DEAD : LIVE}${encodeTombstone(tombstone)}`);
}

export function decodeListedTombstone(bytes: Uint8Array): ListedTombstone {
  const text = bytesToText(bytes);
  const { position = HLC_MIN, ...tombstone } = decodeTombstone(text.slice(1));
  return { ...tombstone, position, isDead: text.startsWith(DEAD) };
}

function isListed(tombstone: Tombstone | undefined): tombstone is Tombstone {
  return tombstone !== undefined && !isExpired(tombstone);
}

/** A list of addresses without repeats. */
export class RowAddresses {
  readonly #identitiesByTable = new Map<number, Set<string>>();
  readonly list: RowAddress[] = [];

  add(address: RowAddress): void {
    const { tableId, identity } = address;
    const identities = this.#identitiesByTable.get(tableId);
    if (identities?.has(identity)) return;
    if (identities === undefined) this.#identitiesByTable.set(tableId, new Set([identity]));
    else identities.add(identity);
    this.list.push(address);
  }

  get tableIds(): Iterable<number> {
    return this.#identitiesByTable.keys();
  }
}

export class RowSet {
  readonly #rowsByTable = new Map<number, Map<string, LoadedRow>>();
  readonly #reader: KVReader;
  readonly #pace: Pace;
  readonly #options: RowSetOptions;
  /** Bytes of the longest row that was written. */
  longestWritten = 0;

  constructor(reader: KVReader, options: RowSetOptions) {
    this.#reader = reader;
    this.#pace = options.pace;
    this.#options = options;
  }

  get({ tableId, identity }: RowAddress): LoadedRow | undefined {
    return this.#rowsByTable.get(tableId)?.get(identity);
  }

  /** @param bytes the stored row; `undefined` if it is not stored */
  add(
    address: RowAddress,
    key: Buffer = toRowKey(address),
    bytes: Uint8Array | undefined = undefined,
  ): LoadedRow {
    const { tableId, identity } = address;
    const row = bytes === undefined ? createRow() : decodeRow(bytes);
    const cellsBefore = row.cells.size;
    const wasListed = isListed(row.tombstone);
    const size = (bytes?.length ?? 0) - (row.tombstone?.priorRow?.length ?? 0);
    const loaded = { tableId, key, row, size, cellsBefore, wasListed, changed: false };
    const rows = this.#rowsByTable.get(tableId);
    if (rows === undefined) this.#rowsByTable.set(tableId, new Map([[identity, loaded]]));
    else rows.set(identity, loaded);
    return loaded;
  }

  /** Reads those of the rows that have not been read yet. */
  async load(addresses: Iterable<RowAddress>): Promise<void> {
    const missing = new RowAddresses();
    for (const address of addresses) if (this.get(address) === undefined) missing.add(address);
    const { list } = missing;
    if (list.length === 0) return;
    const keys = list.map(toRowKey);
    const values: (Uint8Array | undefined)[] = [];
    const { atOnce, take } = this.#options;
    await readInTurns(this.#reader, keys, values, atOnce(), take);
    for (const [i, address] of list.entries()) {
      const { size } = this.add(address, keys[i], values[i]);
      values[i] = undefined;
      const turn = this.#pace.did(1, size);
      if (turn !== undefined) await turn;
    }
  }

  /** The loaded rows of a table, by their identities. */
  ofTable(tableId: number): Iterable<[identity: string, loaded: LoadedRow]> {
    return this.#rowsByTable.get(tableId) ?? [];
  }

  /**
   * @param onWrite called for each changed row with its table and how many cells it gained or, if
   * negative, lost
   */
  async write(
    transaction: KVTransaction,
    onWrite: (tableId: number, cells: number) => void,
  ): Promise<void> {
    for (const [tableId, rows] of this.#rowsByTable) {
      for (const loaded of rows.values()) {
        if (!loaded.changed) continue;
        const bytes = writeRow(loaded, transaction);
        this.longestWritten = Math.max(this.longestWritten, bytes);
        onWrite(tableId, loaded.row.cells.size - loaded.cellsBefore);
        const turn = this.#pace.did(1, bytes);
        if (turn !== undefined) await turn;
      }
    }
  }
}

/** @returns the size of the row in bytes */
function writeRow({ key, row, wasListed }: LoadedRow, transaction: KVTransaction): number {
  const text = encodeRow(row);
  const bytes = text === undefined ? undefined : Buffer.from(text);
  if (bytes === undefined) transaction.delete(key);
  else transaction.put(key, bytes);
  const { tombstone } = row;
  if (isListed(tombstone)) {
    transaction.put(rowToTombstoneKey(key), encodeListedTombstone(tombstone, row.cells.size === 0));
  } else if (wasListed) transaction.delete(rowToTombstoneKey(key));
  return bytes?.length ?? 0;
}
