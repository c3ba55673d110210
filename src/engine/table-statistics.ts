/**
 * What a transaction learns about the tables that it writes to. The stored records are read
 * within the transaction, so that figures of another process are added to, not overwritten.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type { Catalog, TableRecord } from './catalog.ts';
import { bytesToText } from './row.ts';

export class TableStatistics {
  readonly #records = new Map<number, TableRecord>();

  /** @param bytes the table's record as it is stored */
  add(tableId: number, bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) this.#records.set(tableId, JSON.parse(bytesToText(bytes)));
  }

  wrote(tableId: number, hlc: HlcText, catalog: Catalog): void {
    const record = this.#record(tableId, catalog);
    if (record !== undefined && compareHlc(hlc, record.newest) > 0) record.newest = hlc;
  }

  gained(tableId: number, cells: number, catalog: Catalog): void {
    const record = this.#record(tableId, catalog);
    if (record !== undefined) record.cells += cells;
  }

  #record(tableId: number, catalog: Catalog): TableRecord | undefined {
    let record = this.#records.get(tableId);
    if (record === undefined) {
      const known = catalog.tables.get(tableId);
      if (known === undefined) return undefined;
      record = { ...known };
      this.#records.set(tableId, record);
    }
    return record;
  }

  /** Brings the catalog's records up to date, then starts over from them. */
  save(catalog: Catalog, transaction: KVTransaction): void {
    for (const record of this.#records.values()) {
      if (!catalog.tables.get(record.id)?.dropped) catalog.saveTable(record, transaction);
    }
    this.#records.clear();
  }
}
