/** What an app writes at once: becomes one change set. */

import type { HlcText } from '../../../src/clock/hlc.ts';
import { encodeValue, pkFault, type SqlValue, valueFault } from '../../../src/protocol/values.ts';
import type { ChangeSet, Migration } from './protocol/messages.ts';
import { rowKeyOf } from './replica/entries.ts';

/** A change without its time. */
export type Edit =
  | { type: 'column'; schema: string; table: string; pk: unknown[]; column: string; value: unknown }
  | { type: 'delete'; schema: string; table: string; pk: unknown[] };

export type Key = readonly SqlValue[];

/** A table within a transaction. */
export class TransactionTable<T extends object = Record<string, SqlValue>> {
  readonly #schema: string;
  readonly #table: string;
  readonly #edits: Edit[];

  constructor(schema: string, table: string, edits: Edit[]) {
    this.#schema = schema;
    this.#table = table;
    this.#edits = edits;
  }

  /** Writes columns of a row; the others stay as they are. A row without columns is none. */
  set(pk: Key, values: Partial<T>): this {
    const row = this.#name(pk);
    for (const [column, value] of Object.entries(values)) {
      if (value === undefined) continue;
      const encoded = encodeInput(value as SqlValue, `${this.#table}.${column}`);
      this.#edits.push({ type: 'column', ...row, column, value: encoded });
    }
    return this;
  }

  delete(pk: Key): this {
    this.#edits.push({ type: 'delete', ...this.#name(pk) });
    return this;
  }

  #name(pk: Key) {
    if (Object.isFrozen(this.#edits)) throw new TypeError('the transaction is over');
    const where = `the key of a row of ${this.#table}`;
    if (!Array.isArray(pk)) throw new TypeError(`${where} is not an array`);
    const encoded = pk.map((member) => encodeInput(member, where));
    const fault = pkFault(encoded);
    if (fault !== undefined) throw new TypeError(`${where} ${fault}`);
    return { schema: this.#schema, table: this.#table, pk: encoded };
  }
}

export class Transaction {
  readonly #edits: Edit[] = [];

  /**
   * Edits that come later throw: nobody would write them.
   * @returns what is written in it
   * @throws TypeError when some of it would come later
   */
  run(write: (tx: Transaction) => unknown): readonly Edit[] {
    try {
      const result = write(this);
      if (typeof Reflect.get(Object(result), 'then') !== 'function') return this.#edits;
      Promise.resolve(result).catch(() => undefined);
      throw new TypeError('a transaction is written at once: its function must not be async');
    } finally {
      Object.freeze(this.#edits);
    }
  }

  table<T extends object = Record<string, SqlValue>>(
    table: string,
    { schema = 'main' }: { schema?: string } = {},
  ): TransactionTable<T> {
    return new TransactionTable<T>(schema, table, this.#edits);
  }
}

/** @returns a copy in JSON form, which the app can't change any more */
function encodeInput(value: SqlValue, where: string): unknown {
  const encoded = encodeValue(value);
  const fault = valueFault(encoded);
  if (fault !== undefined) throw new TypeError(`${where} ${fault}`);
  if (typeof encoded !== 'object') return encoded;
  const json = JSON.stringify(encoded, function (this: object, key, member) {
    if (!isJson(Reflect.get(this, key))) {
      throw new TypeError(`${where} has an object that JSON would not keep`);
    }
    return member;
  });
  return JSON.parse(json);
}

/** Others become `{}` or a text. A plain object may be of another realm. */
function isJson(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Of several edits of one cell the last counts: an answer that names the cell means one change.
 * @returns in their order
 */
export function lastEdits(edits: readonly Edit[]): Edit[] {
  const last = new Map<string, Edit>();
  for (const edit of edits) {
    const place = JSON.stringify([rowKeyOf(edit), edit.type === 'column' ? edit.column : null]);
    last.delete(place);
    last.set(place, edit);
  }
  return [...last.values()];
}

/** A change set, or one that has no dates yet. */
export interface Undated {
  siteId: string;
  /** Default: its HLC. */
  transactionId?: string;
  changes: readonly Edit[];
  schemaMigrations?: readonly Omit<Migration, 'hlc'>[] | undefined;
}

/**
 * Dates what is written at once, each part later than those before it.
 * @param hlcOf gives the HLC of each
 */
export function dated(undated: Undated, hlcOf: (opSeq: number) => HlcText): ChangeSet {
  let opSeq = 0;
  const date = <T>(part: T) => ({ ...part, hlc: hlcOf(opSeq++) });
  const changes = undated.changes.map(date);
  const schemaMigrations = undated.schemaMigrations?.map(date);
  const hlc = hlcOf(Math.max(0, opSeq - 1));
  return { transactionId: hlc, ...undated, hlc, changes, schemaMigrations };
}
