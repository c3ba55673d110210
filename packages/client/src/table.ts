/** A table of the local replica, as an app reads it: at once, without asking anybody. */

import {
  decodeValue,
  encodeValue,
  pkIdentity,
  type SqlValue,
} from '../../../src/protocol/values.ts';
import type { Outcome, Outcomes } from './outcomes.ts';
import { tableKeyOf } from './replica/entries.ts';
import type { Replica, Touched } from './replica/replica.ts';
import type { Key } from './transaction.ts';

/** A row with its primary key. The same object as long as nothing of it has changed. */
export interface TableRow<T> {
  readonly pk: Key;
  readonly row: Readonly<T>;
}

/** What is known of the writes to a row. */
export interface RowStatus {
  /** Something of it is not on the server yet. */
  readonly isPending: boolean;
  /** Its columns that are not on the server yet. */
  readonly pendingColumns: readonly string[];
  /** It is deleted here, and not on the server yet. */
  readonly isDeletionPending: boolean;
  /** Writes to it that were rejected or superseded, and not dismissed since; the newest last. */
  readonly outcomes: readonly Outcome[];
}

type Values = Record<string, SqlValue>;

export class Table<T extends object = Values> {
  readonly #tableKey: string;
  readonly #replica: Replica;
  readonly #outcomes: Outcomes;
  readonly #listeners = new Set<() => void>();
  /** By key of a row; `null` for one that is not there. */
  readonly #rows = new Map<string, TableRow<T> | null>();
  readonly #statuses = new Map<string, RowStatus>();
  #keys: string[] | undefined;
  #all: readonly TableRow<T>[] | undefined;

  constructor(schema: string, table: string, replica: Replica, outcomes: Outcomes) {
    this.#tableKey = tableKeyOf(schema, table);
    this.#replica = replica;
    this.#outcomes = outcomes;
  }

  /** A row; `undefined` if it is not there. */
  get(pk: Key): Readonly<T> | undefined {
    return this.#row(this.#keyOf(pk))?.row;
  }

  /** All rows in the order of their keys. The same array until something in the table changes. */
  all(): readonly TableRow<T>[] {
    this.#keys ??= this.#sortedKeys();
    this.#all ??= this.#keys.map((key) => this.#row(key)).filter((row) => row !== null);
    return this.#all;
  }

  /** Called once for each transaction that has changed something here. @returns ends it */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(pk: Key): RowStatus {
    const key = this.#keyOf(pk);
    let status = this.#statuses.get(key);
    if (status === undefined) {
      status = this.#readStatus(key);
      this.#statuses.set(key, status);
    }
    return status;
  }

  #keyOf(pk: Key): string {
    return `${this.#tableKey}/${pkIdentity(pk.map(encodeValue))}`;
  }

  #row(key: string): TableRow<T> | null {
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = this.#readRow(key);
      this.#rows.set(key, row);
    }
    return row;
  }

  #readRow(key: string): TableRow<T> | null {
    const stored = this.#replica.current(key);
    const cells = Object.entries(stored?.cells ?? {});
    if (stored === undefined || cells.length === 0) return null;
    const values: Values = {};
    for (const [column, [, value]] of cells) {
      // Assigning `__proto__` would set the prototype.
      Object.defineProperty(values, column, { value: decodeValue(value), enumerable: true });
    }
    return { pk: Object.freeze(stored.pk.map(decodeValue)), row: Object.freeze(values) as T };
  }

  #readStatus(key: string): RowStatus {
    const pending = this.#replica.pending(key);
    const columns = pending.map((change) => (change.type === 'column' ? change.column : undefined));
    return {
      isPending: pending.length > 0,
      pendingColumns: [...new Set(columns.filter((column) => column !== undefined))],
      isDeletionPending: columns.includes(undefined),
      outcomes: this.#outcomes.ofRow(key),
    };
  }

  #sortedKeys(): string[] {
    const entries: { key: string; pk: Key }[] = [];
    for (const key of this.#replica.keysOf(this.#tableKey)) {
      const row = this.#row(key);
      if (row !== null) entries.push({ key, pk: row.pk });
    }
    return entries.sort((a, b) => compareKeys(a.pk, b.pk)).map(({ key }) => key);
  }

  /** For the client: drops what it has made of rows that have changed. @returns whether there are any */
  forget(touched: Touched): boolean {
    const keys = touched.rows.get(this.#tableKey);
    if (touched.all) {
      this.#rows.clear();
      this.#keys = undefined;
    } else if (keys !== undefined) {
      for (const key of keys) this.#forgetRow(key);
    }
    if (touched.all || touched.outcomes) this.#statuses.clear();
    if (!touched.all && keys === undefined) return false;
    this.#all = undefined;
    return true;
  }

  #forgetRow(key: string): void {
    this.#statuses.delete(key);
    const before = this.#rows.get(key);
    this.#rows.delete(key);
    // Nobody has looked at it yet: whether it is in the list is not known.
    if (before === undefined || (before === null) !== (this.#row(key) === null)) {
      this.#keys = undefined;
    }
  }

  /** For the client. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Null first, then booleans, numbers, texts, bytes and JSON. */
function rankOf(value: SqlValue): number {
  if (value === null) return 0;
  if (typeof value === 'boolean') return 1;
  if (typeof value === 'number' || typeof value === 'bigint') return 2;
  if (typeof value === 'string') return 3;
  return value instanceof Uint8Array ? 4 : 5;
}

function compareMembers(a: SqlValue, b: SqlValue): number {
  const rank = rankOf(a);
  if (rank !== rankOf(b)) return rank - rankOf(b);
  if (rank <= 3) return less(a, b) ? -1 : less(b, a) ? 1 : 0;
  const [textA, textB] = [pkIdentity([encodeValue(a)]), pkIdentity([encodeValue(b)])];
  return less(textA, textB) ? -1 : less(textB, textA) ? 1 : 0;
}

/** Of two values of one kind. */
function less(a: SqlValue, b: SqlValue): boolean {
  return (a as number) < (b as number);
}

export function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareMembers(a[i] ?? null, b[i] ?? null);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
