/** Transactions as devices send them, serialised beforehand. */

import { randomBytes } from 'node:crypto';
import { encodeHlc, type HlcText } from '../../src/clock/hlc.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';

export const COLUMNS_PER_ROW = 10;

export interface TransactionShape {
  changes: number;
  /** Updates rows at random among so many; else each transaction inserts rows of its own. */
  updateRows?: number;
}

export class TransactionMaker {
  readonly siteId = new Uint8Array(randomBytes(16));
  readonly siteText = siteIdToText(this.siteId);
  readonly #firstRow: number;
  readonly #table: string;
  #rows = 0;
  #wallTime: number;
  #transactions = 0;

  /**
   * @param agoMs how long ago the first one was made; each is a millisecond later
   * @param firstRow where the primary keys of its inserts begin
   * @param table that it writes to
   */
  constructor({ agoMs = 3_600_000, firstRow = 0, table = 'tasks' } = {}) {
    this.#wallTime = Date.now() - agoMs;
    this.#firstRow = firstRow;
    this.#table = table;
  }

  /** A change set as JSON. */
  next({ changes, updateRows }: TransactionShape): string {
    const wallTime = BigInt(++this.#wallTime);
    const number = ++this.#transactions;
    const hlcOf = (opSeq: number): HlcText =>
      encodeHlc({ wallTime, counter: 0, siteId: this.siteId, opSeq });
    const cells: string[] = [];
    let row = 0;
    for (let i = 0; i < changes; i++) {
      const column = i % COLUMNS_PER_ROW;
      if (column === 0) {
        row =
          updateRows === undefined
            ? this.#firstRow + this.#rows++
            : Math.floor(Math.random() * updateRows);
      }
      // Twenty characters; a listener finds the transaction's number behind the last `#`.
      const value = `${'a value of a cell, '.slice(0, 19 - String(number).length)}#${number}`;
      cells.push(
        `{"type":"column","schema":"main","table":"${this.#table}","pk":[${row}],"column":"column_${column}","value":"${value}","hlc":"${hlcOf(i)}"}`,
      );
    }
    return `{"siteId":"${this.siteText}","transactionId":"${this.siteText}-${number}","hlc":"${hlcOf(changes - 1)}","changes":[${cells.join(',')}],"schemaMigrations":[]}`;
  }

  /** A message with so many transactions, as the bytes of a text frame. */
  message(shape: TransactionShape, transactions = 1): Buffer {
    const sets = Array.from({ length: transactions }, () => this.next(shape));
    return Buffer.from(
      `{"type":"apply_changes","changes":[${sets.join(',')}],"requestId":"${this.#transactions}"}`,
    );
  }
}

export interface Ddl {
  type: 'create_table' | 'drop_table';
  table: string;
}

const SQL_BY_TYPE = {
  create_table: (table: string) => `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, note TEXT)`,
  drop_table: (table: string) => `DROP TABLE ${table}`,
} satisfies Record<Ddl['type'], (table: string) => string>;

/** Transactions of DDL alone, of one device. */
export class DdlMaker {
  readonly siteText: string;
  readonly #siteId = new Uint8Array(randomBytes(16));
  readonly #startedAt = Date.now();
  #transactions = 0;

  constructor() {
    this.siteText = siteIdToText(this.#siteId);
  }

  /** @param agoMs how long ago it was made; of those made as long ago the later one is newer */
  next(statements: readonly Ddl[], agoMs: number): string {
    const number = ++this.#transactions;
    const wallTime = BigInt(this.#startedAt - agoMs);
    const hlcOf = (opSeq: number): HlcText =>
      encodeHlc({ wallTime, counter: number, siteId: this.#siteId, opSeq });
    const schemaMigrations = statements.map(({ type, table }, i) => ({
      ...{ type, schema: 'main', table, ddl: SQL_BY_TYPE[type](table) },
      ...{ hlc: hlcOf(i), schemaVersion: number },
    }));
    return JSON.stringify({
      siteId: this.siteText,
      transactionId: `${this.siteText}-${number}`,
      hlc: hlcOf(statements.length - 1),
      changes: [],
      schemaMigrations,
    });
  }
}
