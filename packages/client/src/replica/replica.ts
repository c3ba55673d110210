/**
 * All that the client knows, in memory: what the server has told, and on top of it the writes that
 * have no answer yet. It is a fold over store operations and changes in no other way. So what is in
 * memory is what a restart would find, and other tabs follow by carrying out the same operations.
 *
 * Because an unanswered write is a layer of its own, one that is refused leaves nothing behind.
 */

import { compareHlc, type HlcText } from '../../../../src/clock/hlc.ts';
import type { Change, ChangeSet, Migration } from '../protocol/messages.ts';
import type { StoredValue, StoreOperation } from '../stores/store.ts';
import {
  DDL,
  FATE,
  generationPrefix,
  META,
  type Meta,
  OUT,
  ROW,
  rowKeyOf,
  type StoredOutcome,
  type StoredRow,
  tableKeyOf,
} from './entries.ts';
import { merge } from './rows.ts';

/** What an operation has changed, for those who show it. */
export interface Touched {
  /** By table, the keys of its rows; `all` where all of them may be others. */
  rows: Map<string, Set<string>>;
  all: boolean;
  outbox: boolean;
  outcomes: boolean;
  migrations: boolean;
}

interface Generation {
  rows: Map<string, StoredRow>;
  /** The keys of rows by table. */
  tables: Map<string, Set<string>>;
}

export class Replica {
  meta: Meta;
  readonly #generations = new Map<number, Generation>();
  /** Writes without an answer, by HLC. */
  readonly outbox = new Map<HlcText, ChangeSet>();
  readonly outcomes = new Map<HlcText, StoredOutcome>();
  readonly #migrations = new Map<string, Migration>();
  /** The changes of the outbox by row, the oldest first. */
  readonly #pending = new Map<string, Change[]>();
  /** The keys of rows with such changes, by table. */
  readonly #pendingKeys = new Map<string, Set<string>>();

  constructor(meta: Meta) {
    this.meta = meta;
  }

  get migrations(): Migration[] {
    return [...this.#migrations].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ddl]) => ddl);
  }

  /** All entries of a store that holds the same. */
  *entries(): Iterable<[key: string, value: StoredValue]> {
    yield [META, this.meta];
    for (const [number, { rows }] of this.#generations) {
      for (const [key, row] of rows) yield [generationPrefix(number) + key, row];
    }
    for (const [hlc, changeSet] of this.outbox) yield [OUT + hlc, changeSet];
    for (const [id, outcome] of this.outcomes) yield [FATE + id, outcome];
    yield* this.#migrations;
  }

  /** A row as the server has told it. */
  confirmed(key: string, generation = this.meta.generation): StoredRow | undefined {
    return this.#generations.get(generation)?.rows.get(key);
  }

  /** The rows of a generation. */
  rowsOf(generation = this.meta.generation): Iterable<[key: string, row: StoredRow]> {
    return this.#generations.get(generation)?.rows ?? [];
  }

  pending(key: string): readonly Change[] {
    return this.#pending.get(key) ?? [];
  }

  /** A row with the writes that have no answer yet. */
  current(key: string): StoredRow | undefined {
    let row = this.confirmed(key);
    for (const change of this.pending(key)) row = merge(row, change);
    return row;
  }

  /** The keys of all rows of a table that may be there. */
  keysOf(tableKey: string): Set<string> {
    const confirmed = this.#generations.get(this.meta.generation)?.tables.get(tableKey);
    const pending = this.#pendingKeys.get(tableKey);
    return new Set([...(confirmed ?? []), ...(pending ?? [])]);
  }

  /** The tables that have rows. */
  tables(): { schema: string; table: string }[] {
    const confirmed = this.#generations.get(this.meta.generation)?.tables ?? new Map();
    const keys = new Set<string>([...confirmed.keys(), ...this.#pendingKeys.keys()]);
    return [...keys].map((key) => {
      const [schema, table]: [string, string] = JSON.parse(key);
      return { schema, table };
    });
  }

  /** Carries out operations. */
  apply(operations: Iterable<StoreOperation>): Touched {
    const touched = createTouched();
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation.key, operation.value, touched);
      else if (operation.type === 'delete') this.#delete(operation.key, touched);
      else this.#clear(operation.prefix, touched);
    }
    return touched;
  }

  #put(key: string, value: StoredValue, touched: Touched): void {
    if (key.startsWith(ROW)) {
      const { generation, rowKey } = splitRowKey(key);
      this.#putRow(generation, rowKey, value as StoredRow, touched);
    } else if (key === META) {
      const meta = value as Meta;
      if (meta.generation !== this.meta.generation) touched.all = true;
      this.meta = meta;
    } else if (key.startsWith(OUT)) {
      this.#putWrite(value as ChangeSet, key.slice(OUT.length), touched);
    } else if (key.startsWith(FATE)) {
      this.outcomes.set(key.slice(FATE.length), value as StoredOutcome);
      touched.outcomes = true;
    } else if (key.startsWith(DDL)) {
      this.#migrations.set(key, value as Migration);
      touched.migrations = true;
    }
  }

  #delete(key: string, touched: Touched): void {
    if (key.startsWith(ROW)) {
      const { generation, rowKey } = splitRowKey(key);
      this.#deleteRow(generation, rowKey, touched);
    } else if (key.startsWith(OUT)) {
      this.#deleteWrite(key.slice(OUT.length), touched);
    } else if (key.startsWith(FATE)) {
      if (this.outcomes.delete(key.slice(FATE.length))) touched.outcomes = true;
    } else if (key.startsWith(DDL)) {
      if (this.#migrations.delete(key)) touched.migrations = true;
    }
  }

  #clear(prefix: string, touched: Touched): void {
    if (prefix.startsWith(ROW)) {
      const { generation } = splitRowKey(prefix);
      this.#generations.delete(generation);
      if (generation === this.meta.generation) touched.all = true;
    } else if (prefix === DDL) {
      this.#migrations.clear();
      touched.migrations = true;
    } else {
      throw new Error(`nothing is cleared as ${prefix}`);
    }
  }

  #putRow(number: number, key: string, row: StoredRow, touched: Touched): void {
    let generation = this.#generations.get(number);
    if (generation === undefined) {
      generation = { rows: new Map(), tables: new Map() };
      this.#generations.set(number, generation);
    }
    const tableKey = tableKeyOf(row.schema, row.table);
    if (!generation.rows.has(key)) addTo(generation.tables, tableKey, key);
    generation.rows.set(key, row);
    if (number === this.meta.generation) addTo(touched.rows, tableKey, key);
  }

  #deleteRow(number: number, key: string, touched: Touched): void {
    const generation = this.#generations.get(number);
    const row = generation?.rows.get(key);
    if (generation === undefined || row === undefined) return;
    const tableKey = tableKeyOf(row.schema, row.table);
    generation.rows.delete(key);
    removeFrom(generation.tables, tableKey, key);
    if (number === this.meta.generation) addTo(touched.rows, tableKey, key);
  }

  #putWrite(changeSet: ChangeSet, hlc: HlcText, touched: Touched): void {
    this.#deleteWrite(hlc, touched);
    this.outbox.set(hlc, changeSet);
    touched.outbox = true;
    for (const change of changeSet.changes) {
      const key = rowKeyOf(change);
      const tableKey = tableKeyOf(change.schema, change.table);
      const pending = this.#pending.get(key) ?? [];
      pending.push(change);
      // Another tab's may come late.
      pending.sort((a, b) => compareHlc(a.hlc, b.hlc));
      this.#pending.set(key, pending);
      addTo(this.#pendingKeys, tableKey, key);
      addTo(touched.rows, tableKey, key);
    }
  }

  #deleteWrite(hlc: HlcText, touched: Touched): void {
    const changeSet = this.outbox.get(hlc);
    if (changeSet === undefined) return;
    this.outbox.delete(hlc);
    touched.outbox = true;
    for (const change of changeSet.changes) {
      const key = rowKeyOf(change);
      const tableKey = tableKeyOf(change.schema, change.table);
      const pending = this.#pending.get(key)?.filter(({ hlc }) => hlc !== change.hlc) ?? [];
      if (pending.length > 0) {
        this.#pending.set(key, pending);
      } else {
        this.#pending.delete(key);
        removeFrom(this.#pendingKeys, tableKey, key);
      }
      addTo(touched.rows, tableKey, key);
    }
  }
}

/** The key of a row within its generation, as `rowKeyOf` makes it. */
function splitRowKey(key: string): { generation: number; rowKey: string } {
  const end = key.indexOf('/', ROW.length);
  return { generation: Number(key.slice(ROW.length, end)), rowKey: key.slice(end + 1) };
}

export function createTouched(): Touched {
  return { rows: new Map(), all: false, outbox: false, outcomes: false, migrations: false };
}

function addTo(sets: Map<string, Set<string>>, name: string, member: string): void {
  const set = sets.get(name);
  if (set === undefined) sets.set(name, new Set([member]));
  else set.add(member);
}

function removeFrom(sets: Map<string, Set<string>>, name: string, member: string): void {
  const set = sets.get(name);
  set?.delete(member);
  if (set?.size === 0) sets.delete(name);
}
