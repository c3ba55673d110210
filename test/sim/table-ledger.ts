/**
 * Watches every commit of a database, of whichever node: a number is given to one table and never
 * again, a table changes its name by a rename only, rows stand under the number of a table that
 * there is, and no transaction and no record of the log grows with the size of a table.
 */

import type { KVChange } from '../../src/storage/ordered-map.ts';
import { loggedChanges, type StoredTable, storedName, storedTable } from './store-look.ts';

/** Rows of one step of what goes on in steps. */
const STEP_ROWS = 500;
/** Rows that a batch may touch beside what it logs: what is held for a table that is gone. */
const BATCH_ROWS = 800;
/** Columns that a simulated row may have. */
const ROW_CHANGES = 2;

interface Known extends StoredTable {
  isForgotten: boolean;
}

export class TableLedger {
  readonly #tables = new Map<number, Known>();
  readonly #report: (violation: string) => void;
  #newest = 0;

  constructor(report: (violation: string) => void) {
    this.#report = report;
  }

  committed(changes: readonly KVChange[], rowsRead: number): void {
    const names = new Set(changes.flatMap((change) => storedName(change) ?? []));
    let touchedTables = 0;
    for (const change of changes) {
      const table = storedTable(change);
      if (table === undefined) continue;
      touchedTables++;
      this.#table(table.id, table.record, names);
    }
    this.#rows(changes, touchedTables);
    const share = STEP_ROWS * (1 + touchedTables);
    if (rowsRead > share) this.#report(`a transaction goes through more rows than ${share}`);
  }

  #table(id: number, record: StoredTable | undefined, names: ReadonlySet<string>): void {
    const known = this.#tables.get(id);
    if (record === undefined) {
      if (known !== undefined) known.isForgotten = true;
      return;
    }
    if (known === undefined) {
      if (id <= this.#newest) this.#report(`the number ${id} is given after ${this.#newest}`);
      this.#newest = Math.max(this.#newest, id);
    } else {
      const { schema, table, isForgotten } = known;
      if (isForgotten) this.#report(`the number ${id} is given again, to ${record.table}`);
      if (schema !== record.schema) this.#report(`table ${id} goes to another schema`);
      // A rename leaves behind where the old name leads to.
      const isRenamed = table !== undefined && names.has(table);
      if (record.table !== undefined && record.table !== table && !isRenamed) {
        this.#report(`table ${id} is ${table} and ${record.table}, and nobody renamed it`);
      }
    }
    this.#tables.set(id, { ...record, isForgotten: false });
  }

  #rows(changes: readonly KVChange[], touchedTables: number): void {
    let put = 0;
    let logged = 0;
    for (const [key, value] of changes) {
      if (value === undefined) continue;
      const count = loggedChanges(key, value);
      logged += count;
      if (count > ROW_CHANGES * STEP_ROWS) this.#report(`a record of ${count} changes`);
      if (key[0] !== 'r'.charCodeAt(0)) continue;
      put++;
      const id = Buffer.from(key).readUInt32BE(1);
      const known = this.#tables.get(id);
      if (known === undefined) this.#report(`a row of table ${id}, which there is not`);
    }
    const share = 2 * logged + STEP_ROWS * Math.max(1, touchedTables) + BATCH_ROWS;
    if (put > share) this.#report(`a transaction puts ${put} rows, and its share is ${share}`);
  }
}
