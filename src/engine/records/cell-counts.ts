/**
 * The number of cells of each table, for people: nothing else depends on it. It is read within the
 * transaction that changes it, since other processes change it as well.
 */

import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import { countKey, kindRange } from './keys.ts';
import { bytesToText } from './row.ts';

export function decodeCount(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : Number(bytesToText(bytes));
}

/** The counts by the numbers of the tables. */
export async function readCounts(reader: KVReader): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  for await (const entries of reader.iterate(kindRange('c'))) {
    for (const [key, value] of entries) counts.set(countKeyToId(key), decodeCount(value));
  }
  return counts;
}

export function countKeyToId(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUInt32BE(1);
}

export class CellCounts {
  readonly #stored = new Map<number, number>();
  readonly #gained = new Map<number, number>();

  /** Adds a stored count that has been read already. */
  add(tableId: number, bytes: Uint8Array | undefined): void {
    this.#stored.set(tableId, decodeCount(bytes));
  }

  gained(tableId: number, cells: number): void {
    if (cells !== 0) this.#gained.set(tableId, (this.#gained.get(tableId) ?? 0) + cells);
  }

  async write(transaction: KVTransaction): Promise<void> {
    const missing = [...this.#gained.keys()].filter((id) => !this.#stored.has(id));
    const values = missing.length === 0 ? [] : await transaction.getMany(missing.map(countKey));
    for (const [i, id] of missing.entries()) this.add(id, values[i]);
    for (const [id, cells] of this.#gained) {
      const count = Math.max(0, (this.#stored.get(id) ?? 0) + cells);
      transaction.put(countKey(id), Buffer.from(String(count)));
    }
  }
}
