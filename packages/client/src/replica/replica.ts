/**
 * All that the client knows, in memory: what the server has told, and on top of it the writes that
 * have no answer yet. It is a fold over store operations and changes in no other way. So what is in
 * memory is what a restart would find, and other tabs follow by carrying out the same operations.
 *
 * Because an unanswered write is a layer of its own, one that is refused leaves nothing behind.
 */

import { compareHlc, type HlcText } from '../../../../src/clock/hlc.ts';
import { pkIdentity } from '../../../../src/protocol/values.ts';
import type { Change, ChangeSet, Migration } from '../protocol/messages.ts';
import type { StoredValue, StoreOperation } from '../stores/store.ts';
import { byHlc, Catalog, isForgottenDrop } from './catalog.ts';
import {
  DDL,
  FATE,
  generationPrefix,
  META,
  type Meta,
  OUT,
  PAGE,
  ROW,
  rowKeyOf,
  type StoredOutcome,
  type StoredRow,
  splitKey,
  tableKeyOf,
  toTable,
} from './entries.ts';
import { PagedRows } from './pages.ts';
import { joinRows, merge, rowAbove } from './rows.ts';
import { type Source, sourcesOf } from './sources.ts';

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
  /** By slot. */
  migrations: Map<string, Migration>;
}

export class Replica {
  meta: Meta;
  readonly #generations = new Map<number, Generation>();
  /** Writes without an answer, by HLC. */
  readonly outbox = new Map<HlcText, ChangeSet>();
  readonly outcomes = new Map<HlcText, StoredOutcome>();
  /** As the store has them. */
  paged = new PagedRows();
  /** The changes of the outbox by row, the oldest first. */
  readonly #pending = new Map<string, Change[]>();
  /** The keys of rows with such changes, by table. */
  readonly #pendingKeys = new Map<string, Set<string>>();
  /** By the DDL that the server has told or taken. */
  catalog = new Catalog();
  /** With the DDL that has no answer yet. */
  #shown = new Catalog();
  /** Where the rows of tables stand that such DDL has renamed or dropped. */
  #sources = new Map<string, Source[]>();

  constructor(meta: Meta) {
    this.meta = meta;
  }

  /** All DDL, by HLC; of one place the newest. */
  get migrations(): Migration[] {
    const told = [...this.migrationsOf().values()].filter((each) => !isForgottenDrop(each));
    return byHlc([...told, ...this.#pendingMigrations()]);
  }

  /** DDL that the server has told or taken, by slot. */
  migrationsOf(generation = this.meta.generation): ReadonlyMap<string, Migration> {
    return this.#generations.get(generation)?.migrations ?? new Map();
  }

  #pendingMigrations(): Migration[] {
    return [...this.outbox.values()].flatMap(({ schemaMigrations = [] }) => schemaMigrations);
  }

  /** All entries of a store that holds the same. */
  *entries(): Iterable<[key: string, value: StoredValue]> {
    yield [META, this.meta];
    for (const [number, { rows, migrations }] of this.#generations) {
      for (const [key, row] of rows) yield [generationPrefix(number) + key, row];
      for (const [slot, ddl] of migrations) yield [generationPrefix(number, DDL) + slot, ddl];
    }
    for (const [hlc, changeSet] of this.outbox) yield [OUT + hlc, changeSet];
    for (const [id, outcome] of this.outcomes) yield [FATE + id, outcome];
  }

  /** A row as the server has told it. */
  confirmed(key: string, generation = this.meta.generation): StoredRow | undefined {
    return this.#generations.get(generation)?.rows.get(key);
  }

  /** The keys of rows that the server has told, of a table. */
  confirmedKeys(tableKey: string, generation = this.meta.generation): Iterable<string> {
    return this.#generations.get(generation)?.tables.get(tableKey) ?? [];
  }

  /** The rows of a generation. */
  rowsOf(generation = this.meta.generation): Iterable<[key: string, row: StoredRow]> {
    return this.#generations.get(generation)?.rows ?? [];
  }

  pending(key: string): readonly Change[] {
    return this.#pending.get(key) ?? [];
  }

  /** The name that a table has now. */
  nameNow(tableKey: string): string {
    return this.#shown.resolve(tableKey) ?? tableKey;
  }

  /** The table of a write of this site, by the name that it has now; `undefined` if it was dropped since. */
  tableOf({ schema, table, hlc }: Change, catalog = this.#shown): string | undefined {
    return catalog.resolve(tableKeyOf(schema, table), hlc);
  }

  /** The row of such a write. */
  keyOf(change: Change, catalog = this.#shown): string | undefined {
    const tableKey = this.tableOf(change, catalog);
    return tableKey && `${tableKey}/${pkIdentity(change.pk)}`;
  }

  /** A row with the writes that have no answer yet. */
  current(tableKey: string, key: string): StoredRow | undefined {
    if (this.#shown.isHidden(tableKey)) return undefined;
    let row = this.#told(tableKey, key);
    for (const change of this.pending(key)) row = merge(row, change);
    return row;
  }

  #told(tableKey: string, key: string): StoredRow | undefined {
    const sources = this.#sources.get(tableKey);
    if (sources === undefined) return this.confirmed(key);
    let row: StoredRow | undefined;
    for (const { tableKey: from, floor } of sources) {
      const told = this.confirmed(from + key.slice(tableKey.length));
      row = joinRows(row, told && rowAbove(told, floor));
    }
    return row;
  }

  /** The keys of all rows of a table that may be there. */
  keysOf(tableKey: string): Set<string> {
    if (this.#shown.isHidden(tableKey)) return new Set();
    const keys = new Set(this.#pendingKeys.get(tableKey));
    for (const { tableKey: from } of this.#sources.get(tableKey) ?? [{ tableKey }]) {
      for (const key of this.confirmedKeys(from)) keys.add(tableKey + key.slice(from.length));
    }
    return keys;
  }

  /** The tables that have rows. */
  tables(): { schema: string; table: string }[] {
    const confirmed = this.#generations.get(this.meta.generation)?.tables ?? new Map();
    const keys = new Set([
      ...confirmed.keys(),
      ...this.#pendingKeys.keys(),
      ...this.#sources.keys(),
    ]);
    return [...keys].filter((key) => this.keysOf(key).size > 0).map(toTable);
  }

  /** Carries out operations. */
  apply(operations: Iterable<StoreOperation>): Touched {
    const touched = createTouched();
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation.key, operation.value, touched);
      else if (operation.type === 'delete') this.#delete(operation.key, touched);
      else this.#clear(operation.prefix, touched);
    }
    if (touched.migrations) this.#readNames(touched);
    return touched;
  }

  /** DDL has changed: what names mean, and so where the rows of writes are. */
  #readNames(touched: Touched): void {
    touched.all = true;
    touched.outcomes = true;
    const told = [...this.migrationsOf().values()];
    const pending = this.#pendingMigrations();
    this.catalog = new Catalog(told);
    this.#shown = pending.length === 0 ? this.catalog : new Catalog([...told, ...pending]);
    this.#sources = sourcesOf(byHlc(pending), this.#shown);
    this.#pending.clear();
    this.#pendingKeys.clear();
    for (const changeSet of this.outbox.values()) this.#index(changeSet);
  }

  #put(key: string, value: StoredValue, touched: Touched): void {
    if (key.startsWith(ROW)) {
      const { generation, rest } = splitKey(key);
      if (value === null) this.#deleteRow(generation, rest, touched);
      else this.#putRow(generation, rest, value as StoredRow, touched);
    } else if (key.startsWith(PAGE)) {
      this.#putPage(splitKey(key).generation, value as StoredRow[], touched);
    } else if (key === META) {
      const meta = value as Meta;
      if (meta.generation !== this.meta.generation) touched.migrations = true;
      this.meta = meta;
    } else if (key.startsWith(OUT)) {
      this.#putWrite(value as ChangeSet, key.slice(OUT.length), touched);
    } else if (key.startsWith(FATE)) {
      this.outcomes.set(key.slice(FATE.length), value as StoredOutcome);
      touched.outcomes = true;
    } else if (key.startsWith(DDL)) {
      const { generation, rest } = splitKey(key);
      this.#generation(generation).migrations.set(rest, value as Migration);
      touched.migrations ||= generation === this.meta.generation;
    }
  }

  #generation(number: number): Generation {
    let generation = this.#generations.get(number);
    if (generation === undefined) {
      generation = { rows: new Map(), tables: new Map(), migrations: new Map() };
      this.#generations.set(number, generation);
    }
    return generation;
  }

  #delete(key: string, touched: Touched): void {
    if (key.startsWith(ROW)) {
      const { generation, rest } = splitKey(key);
      this.#deleteRow(generation, rest, touched);
    } else if (key.startsWith(OUT)) {
      this.#deleteWrite(key.slice(OUT.length), touched);
    } else if (key.startsWith(FATE)) {
      if (this.outcomes.delete(key.slice(FATE.length))) touched.outcomes = true;
    } else if (key.startsWith(DDL)) {
      const { generation, rest } = splitKey(key);
      this.#generation(generation).migrations.delete(rest);
      touched.migrations ||= generation === this.meta.generation;
    }
  }

  #clear(prefix: string, touched: Touched): void {
    const { generation } = splitKey(prefix);
    const { rows, tables, migrations } = this.#generation(generation);
    if (prefix.startsWith(PAGE)) this.paged.clear(generation);
    else if (prefix.startsWith(ROW)) {
      rows.clear();
      tables.clear();
    } else migrations.clear();
    touched.migrations ||= generation === this.meta.generation;
  }

  #putRow(number: number, key: string, row: StoredRow, touched: Touched): void {
    const generation = this.#generation(number);
    const tableKey = tableKeyOf(row.schema, row.table);
    if (!generation.rows.has(key)) addTo(generation.tables, tableKey, key);
    generation.rows.set(key, row);
    if (number === this.meta.generation) addTo(touched.rows, tableKey, key);
  }

  /** A row that is there already is newer than the page. */
  #putPage(number: number, rows: readonly StoredRow[], touched: Touched): void {
    for (const row of rows) {
      const key = rowKeyOf(row);
      this.paged.add(number, key);
      if (this.confirmed(key, number) === undefined) this.#putRow(number, key, row, touched);
    }
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
    if (changeSet.schemaMigrations?.length) touched.migrations = true;
    for (const [tableKey, key] of this.#index(changeSet)) addTo(touched.rows, tableKey, key);
  }

  /** @returns where its changes are */
  #index(changeSet: ChangeSet): [tableKey: string, key: string][] {
    return this.#placesOf(changeSet).map(([tableKey, key, change]) => {
      const pending = this.#pending.get(key) ?? [];
      pending.push(change);
      // Another tab's may come late.
      pending.sort((a, b) => compareHlc(a.hlc, b.hlc));
      this.#pending.set(key, pending);
      addTo(this.#pendingKeys, tableKey, key);
      return [tableKey, key];
    });
  }

  #placesOf({ changes }: ChangeSet): [tableKey: string, key: string, change: Change][] {
    return changes.flatMap((change) => {
      const tableKey = this.tableOf(change);
      if (tableKey === undefined) return [];
      return [[tableKey, `${tableKey}/${pkIdentity(change.pk)}`, change]];
    });
  }

  #deleteWrite(hlc: HlcText, touched: Touched): void {
    const changeSet = this.outbox.get(hlc);
    if (changeSet === undefined) return;
    this.outbox.delete(hlc);
    touched.outbox = true;
    if (changeSet.schemaMigrations?.length) touched.migrations = true;
    for (const [tableKey, key, change] of this.#placesOf(changeSet)) {
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
