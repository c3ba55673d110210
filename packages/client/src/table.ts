/** A table of the local replica, as an app reads it: at once, without asking anybody. */

import {
  decodeValue,
  encodeValue,
  pkIdentity,
  type SqlValue,
} from '../../../src/protocol/values.ts';
import { Listeners } from './listeners.ts';
import { memberOf, setIn } from './maps.ts';
import type { Outcome, Outcomes } from './outcomes.ts';
import type { StoredRow } from './replica/entries.ts';
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

/** What a row was made of, and what is shown of it; `null` if it is not there. */
interface Shown<T> {
  cells: StoredRow['cells'];
  row: TableRow<T> | null;
}

export class Table<T extends object = Values> {
  readonly #nameKey: string;
  readonly #replica: Replica;
  readonly #outcomes: Outcomes;
  readonly #listeners = new Listeners();
  readonly #rows = new Map<string, Shown<T>>();
  readonly #statuses = new Map<string, RowStatus>();
  #keys: string[] | undefined;
  #all: readonly TableRow<T>[] | undefined;

  constructor(tableKey: string, replica: Replica, outcomes: Outcomes) {
    this.#nameKey = tableKey;
    this.#replica = replica;
    this.#outcomes = outcomes;
  }

  /** Where it was renamed, the new name: who has not heard of that goes on with it. */
  get #tableKey(): string {
    return this.#replica.nameNow(this.#nameKey);
  }

  /** A row; `undefined` if it is not there. The same object until one of its values changes. */
  get(pk: Key): Readonly<T> | undefined {
    return this.#row(this.#keyOf(pk))?.row;
  }

  /** All rows in the order of their keys. The same array until one of them changes. */
  all(): readonly TableRow<T>[] {
    this.#keys ??= this.#sortedKeys();
    this.#all ??= this.#keys.map((key) => this.#row(key)).filter((row) => row !== null);
    return this.#all;
  }

  /** Called once for each transaction that has changed a row or a status here. @returns ends it */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** The same object until something of it changes. */
  status(pk: Key): RowStatus {
    const key = this.#keyOf(pk);
    const status = this.#readStatus(key);
    const before = memberOf(this.#statuses, key, () => status);
    if (isSameStatus(before, status)) return before;
    this.#statuses.set(key, status);
    return status;
  }

  #keyOf(pk: Key): string {
    return `${this.#tableKey}/${pkIdentity(pk.map(encodeValue))}`;
  }

  #row(key: string): TableRow<T> | null {
    return memberOf(this.#rows, key, () => this.#readRow(key)).row;
  }

  #readRow(key: string): Shown<T> {
    const stored = this.#replica.current(this.#tableKey, key);
    const cells = stored?.cells ?? {};
    const entries = Object.entries(cells);
    if (stored === undefined || entries.length === 0) return { cells, row: null };
    const values: Values = {};
    for (const [column, [, value]] of entries) {
      // Assigning `__proto__` would set the prototype.
      Object.defineProperty(values, column, { value: decodeValue(value), enumerable: true });
    }
    const pk = Object.freeze(stored.pk.map(decodeValue));
    return { cells, row: { pk, row: Object.freeze(values) as T } };
  }

  #readStatus(key: string): RowStatus {
    const pending = this.#replica.pending(this.#tableKey, key);
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

  /** For the client: drops what it has made of rows that have changed. @returns whether to notify */
  forget(touched: Touched): boolean {
    const keys = touched.rows.get(this.#tableKey);
    if (touched.all) {
      this.#rows.clear();
      this.#keys = undefined;
      this.#all = undefined;
    } else {
      for (const key of keys ?? []) this.#forgetRow(key);
    }
    return touched.all || touched.outcomes || keys !== undefined;
  }

  #forgetRow(key: string): void {
    const before = this.#rows.get(key);
    const after = before && this.#readRow(key);
    const isSame = after && hasSameCells(before.cells, after.cells);
    setIn(this.#rows, key, isSame ? before : after);
    if (isSame) return;
    this.#all = undefined;
    // Where nobody has looked at it yet, whether it is in the list is not known.
    if (!after || !before.row !== !after.row) this.#keys = undefined;
  }

  /** For the client. */
  notify(): void {
    this.#listeners.notify();
  }
}

/** By their HLCs: a write that is acknowledged moves, and stays what it was. */
function hasSameCells(a: StoredRow['cells'], b: StoredRow['cells']): boolean {
  const columns = Object.keys(a);
  return (
    columns.length === Object.keys(b).length &&
    columns.every((column) => a[column]?.[0] === b[column]?.[0])
  );
}

function isSameStatus(a: RowStatus, b: RowStatus): boolean {
  return (
    a.isDeletionPending === b.isDeletionPending &&
    isSameList(a.pendingColumns, b.pendingColumns) &&
    isSameList(a.outcomes, b.outcomes)
  );
}

function isSameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((member, i) => member === b[i]);
}

/** Null first, then booleans, numbers, texts, bytes and JSON. */
const RANKS: Readonly<Record<string, number>> = { boolean: 1, number: 2, bigint: 2, string: 3 };

function rankOf(value: SqlValue): number {
  if (value === null) return 0;
  return RANKS[typeof value] ?? (value instanceof Uint8Array ? 4 : 5);
}

function compareMembers(a: SqlValue, b: SqlValue): number {
  const rank = rankOf(a);
  if (rank !== rankOf(b)) return rank - rankOf(b);
  const one = comparable(a, rank);
  const other = comparable(b, rank);
  return one < other ? -1 : one > other ? 1 : 0;
}

/** In place of a value, among those of its rank. */
function comparable(value: SqlValue, rank: number): number {
  return (rank > 3 ? pkIdentity([encodeValue(value)]) : value) as number;
}

export function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareMembers(a[i] ?? null, b[i] ?? null);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
