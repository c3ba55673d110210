/**
 * The rows that one transaction works on: read together, changed in memory, written
 * together. A row that two change sets of a group touch is read once and written once.
 */

import { HLC_MIN, type HlcText } from '../clock/hlc.ts';
import type { KVReader, KVTransaction } from '../storage/kv-store.ts';
import { rowKey, rowToTombstoneKey } from './keys.ts';
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
  /** Of its primary key, see `pkIdentity`. */
  identity: string;
  /** Both as one text. */
  text: string;
}

export interface LoadedRow {
  address: RowAddress;
  key: Buffer;
  row: Row;
  /** Cells it held when it was read. */
  cellsBefore: number;
  /** Whether it stood in the list of tombstones then. */
  wasListed: boolean;
  changed: boolean;
}

/** In the list of tombstones: whether the row is gone, or lives again. */
const DEAD = 'D';
const LIVE = 'L';

/** As it stands in the list, which holds none that has expired. */
export interface ListedTombstone extends Tombstone {
  position: HlcText;
  /** Whether the row is gone; else it lives again. */
  isDead: boolean;
}

export function rowAddress(tableId: number, identity: string): RowAddress {
  return { tableId, identity, text: `${tableId}:${identity}` };
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

export class RowSet {
  readonly #rows = new Map<string, LoadedRow>();
  readonly #reader: KVReader;

  constructor(reader: KVReader) {
    this.#reader = reader;
  }

  get(address: RowAddress): LoadedRow | undefined {
    return this.#rows.get(address.text);
  }

  add(
    address: RowAddress,
    key: Buffer = toRowKey(address),
    bytes: Uint8Array | undefined = undefined,
  ): LoadedRow {
    const row = bytes === undefined ? createRow() : decodeRow(bytes);
    const cellsBefore = row.cells.size;
    const wasListed = isListed(row.tombstone);
    const loaded = { address, key, row, cellsBefore, wasListed, changed: false };
    this.#rows.set(address.text, loaded);
    return loaded;
  }

  /** Reads, in one go, those of the rows that aren't here yet. */
  async load(addresses: Iterable<RowAddress>): Promise<void> {
    const missing = new Map<string, RowAddress>();
    for (const address of addresses) {
      if (this.get(address) === undefined) missing.set(address.text, address);
    }
    if (missing.size === 0) return;
    const keys = [...missing.values()].map(toRowKey);
    const values = await this.#reader.getMany(keys);
    let i = 0;
    for (const address of missing.values()) {
      this.add(address, keys[i], values[i]);
      i++;
    }
  }

  ofTable(tableId: number): LoadedRow[] {
    return [...this.#rows.values()].filter(({ address }) => address.tableId === tableId);
  }

  /** @param onWrite gets each changed row's table and how many cells it gained or lost */
  write(transaction: KVTransaction, onWrite: (tableId: number, cells: number) => void): void {
    for (const { address, key, row, cellsBefore, wasListed, changed } of this.#rows.values()) {
      if (!changed) continue;
      const text = encodeRow(row);
      if (text === undefined) transaction.delete(key);
      else transaction.put(key, Buffer.from(text));
      const { tombstone } = row;
      if (isListed(tombstone)) {
        transaction.put(
          rowToTombstoneKey(key),
          encodeListedTombstone(tombstone, row.cells.size === 0),
        );
      } else if (wasListed) transaction.delete(rowToTombstoneKey(key));
      onWrite(address.tableId, row.cells.size - cellsBefore);
    }
  }
}
