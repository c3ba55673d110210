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
  #rows = 0;
  #wallTime: number;
  #transactions = 0;

  /**
   * @param agoMs how long ago the first one was made; each is a millisecond later
   * @param firstRow where the primary keys of its inserts begin
   */
  constructor({ agoMs = 3_600_000, firstRow = 0 } = {}) {
    this.#wallTime = Date.now() - agoMs;
    this.#firstRow = firstRow;
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
        `{"type":"column","schema":"main","table":"tasks","pk":[${row}],"column":"column_${column}","value":"${value}","hlc":"${hlcOf(i)}"}`,
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
