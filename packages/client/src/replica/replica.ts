/**
 * All that the client knows, in memory: what the server has told, and on top of it the writes that
 * have no answer yet. It is a fold over store operations and changes in no other way. So what is in
 * memory is what a restart would find, and other tabs follow by carrying out the same operations.
 *
 * Because an unanswered write is a layer of its own, one that is refused leaves nothing behind.
 */

import { compareHlc, type HlcText } from '../../../../src/clock/hlc.ts';
import { pkIdentity } from '../../../../src/protocol/values.ts';
import { addTo, memberOf, setIn } from '../maps.ts';
import type { Change, ChangeSet, Migration } from '../protocol/messages.ts';
import type { StoredValue, StoreOperation } from '../stores/store.ts';
import { byHlc, Catalog } from './catalog.ts';
import {
  DDL,
  FATE,
  generationPrefix,
  LEAD,
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
import { joinRows, merge, rowAbove } from './rows.ts';
import { type Source, sourcesOf } from './sources.ts';

/** What an operation has changed, for those who show it. */
export interface Touched {
  /** By table, the keys of its rows; `all` where all of them may be others. */
  rows: Map<string, Set<string>>;
  all: boolean;
  outcomes: boolean;
  migrations: boolean;
}

export interface Generation {
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
  /** The keys of rows that the store has in pages. */
  paged = new Set<string>();
  /** The changes of the outbox by table and row, the oldest first. */
  readonly #pending = new Map<string, Map<string, Change[]>>();
  /** By the DDL that the server has told or taken. */
  catalog = new Catalog();
  /** With the DDL that has no answer yet. */
  #shown = new Catalog();
  /** Where the rows of tables stand that such DDL has renamed or dropped. */
  #sources = new Map<string, Source[]>();

  constructor(meta: Meta) {
    this.meta = meta;
  }

  generation(number = this.meta.generation): Generation {
    return memberOf(this.#generations, number, () => ({
      rows: new Map(),
      tables: new Map(),
      migrations: new Map(),
    }));
  }

  /** All DDL, by HLC; of one place the newest. */
  get migrations(): Migration[] {
    const told = [...this.generation().migrations.values()];
    return byHlc([...told, ...this.#pendingMigrations()]);
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

  /** @param entry the key of a row's */
  has(entry: string): boolean {
    const { generation, rest } = splitKey(entry);
    return this.generation(generation).rows.has(rest);
  }

  /** The changes of a row that have no answer yet. */
  pending(tableKey: string, key: string): readonly Change[] {
    return this.#pending.get(tableKey)?.get(key) ?? [];
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
    for (const change of this.pending(tableKey, key)) row = merge(row, change);
    return row;
  }

  #told(tableKey: string, key: string): StoredRow | undefined {
    const { rows } = this.generation();
    const sources = this.#sources.get(tableKey);
    if (sources === undefined) return rows.get(key);
    let row: StoredRow | undefined;
    for (const { tableKey: from, floor } of sources) {
      const told = rows.get(from + key.slice(tableKey.length));
      row = joinRows(row, told && rowAbove(told, floor));
    }
    return row;
  }

  /** The keys of all rows of a table that may be there. */
  keysOf(tableKey: string): Set<string> {
    if (this.#shown.isHidden(tableKey)) return new Set();
    const keys = new Set(this.#pending.get(tableKey)?.keys());
    const { tables } = this.generation();
    for (const { tableKey: from } of this.#sources.get(tableKey) ?? [{ tableKey }]) {
      for (const key of tables.get(from) ?? []) keys.add(tableKey + key.slice(from.length));
    }
    return keys;
  }

  /** The tables that have rows. */
  tables(): { schema: string; table: string }[] {
    const confirmed = this.generation().tables.keys();
    const keys = new Set([...confirmed, ...this.#pending.keys(), ...this.#sources.keys()]);
    return [...keys].filter((key) => this.keysOf(key).size > 0).map(toTable);
  }

  /** Carries out operations. */
  apply(operations: Iterable<StoreOperation>): Touched {
    const touched: Touched = { rows: new Map(), all: false, outcomes: false, migrations: false };
    for (const operation of operations) {
      if (operation.type === 'clear') this.#clear(operation.prefix, touched);
      else
        this.#set(operation.key, operation.type === 'put' ? operation.value : undefined, touched);
    }
    if (touched.migrations) this.#readNames(touched);
    return touched;
  }

  /** DDL has changed: what names mean, and so where the rows of writes are. */
  #readNames(touched: Touched): void {
    touched.all = true;
    touched.outcomes = true;
    const told = [...this.generation().migrations.values()];
    const pending = this.#pendingMigrations();
    this.catalog = new Catalog(told);
    this.#shown = pending.length === 0 ? this.catalog : new Catalog([...told, ...pending]);
    this.#sources = sourcesOf(byHlc(pending), this.#shown);
    this.#pending.clear();
    for (const changeSet of this.outbox.values()) this.#index(changeSet, true, touched);
  }

  /** @param value `undefined` for what is deleted */
  #set(key: string, value: StoredValue, touched: Touched): void {
    if (key === META) {
      const meta = value as Meta;
      if (meta.generation !== this.meta.generation) touched.migrations = true;
      this.meta = meta;
    } else if (key.startsWith(OUT)) {
      this.#setWrite(key.slice(OUT.length), value as ChangeSet | undefined, touched);
    } else if (key.startsWith(FATE)) {
      const id = key.slice(FATE.length);
      if (setIn(this.outcomes, id, value as StoredOutcome | undefined)) touched.outcomes = true;
    } else if (key !== LEAD) {
      this.#setInGeneration(key, value, touched);
    }
  }

  #setInGeneration(key: string, value: StoredValue, touched: Touched): void {
    const { generation: number, rest } = splitKey(key);
    if (key.startsWith(ROW)) {
      this.#setRow(number, rest, value as StoredRow | null | undefined, touched);
    } else if (key.startsWith(DDL)) {
      setIn(this.generation(number).migrations, rest, value as Migration | undefined);
      touched.migrations ||= number === this.meta.generation;
    } else {
      for (const row of value as StoredRow[]) {
        const rowKey = rowKeyOf(row);
        this.paged.add(generationPrefix(number) + rowKey);
        // One that is there already is newer than the page.
        if (!this.generation(number).rows.has(rowKey)) this.#setRow(number, rowKey, row, touched);
      }
    }
  }

  #clear(prefix: string, touched: Touched): void {
    const { generation: number } = splitKey(prefix);
    const { rows, tables, migrations } = this.generation(number);
    if (prefix.startsWith(PAGE)) {
      for (const key of this.paged) {
        if (key.startsWith(generationPrefix(number))) this.paged.delete(key);
      }
    } else if (prefix.startsWith(ROW)) {
      rows.clear();
      tables.clear();
    } else migrations.clear();
    touched.migrations ||= number === this.meta.generation;
  }

  /** @param row nothing for one that is deleted */
  #setRow(number: number, key: string, row: StoredRow | null | undefined, touched: Touched): void {
    const { rows, tables } = this.generation(number);
    const before = rows.get(key);
    const named = row ?? before;
    if (named === undefined) return;
    const tableKey = tableKeyOf(named.schema, named.table);
    if (row) {
      if (before === undefined) addTo(tables, tableKey, key);
      rows.set(key, row);
    } else {
      rows.delete(key);
      tables.get(tableKey)?.delete(key);
    }
    if (number === this.meta.generation) addTo(touched.rows, tableKey, key);
  }

  #setWrite(hlc: HlcText, changeSet: ChangeSet | undefined, touched: Touched): void {
    for (const write of [this.outbox.get(hlc), changeSet]) {
      if (write === undefined) continue;
      const isThere = write === changeSet;
      setIn(this.outbox, hlc, isThere ? write : undefined);
      if (write.schemaMigrations?.length) touched.migrations = true;
      this.#index(write, isThere, touched);
    }
  }

  #index({ changes }: ChangeSet, isThere: boolean, touched: Touched): void {
    for (const change of changes) {
      const tableKey = this.tableOf(change);
      if (tableKey === undefined) continue;
      const key = `${tableKey}/${pkIdentity(change.pk)}`;
      const others = this.pending(tableKey, key).filter(({ hlc }) => hlc !== change.hlc);
      const pending = isThere ? [...others, change] : others;
      // Another tab's may come late.
      pending.sort((a, b) => compareHlc(a.hlc, b.hlc));
      const rows = memberOf(this.#pending, tableKey, () => new Map<string, Change[]>());
      setIn(rows, key, pending.length > 0 ? pending : undefined);
      addTo(touched.rows, tableKey, key);
    }
  }
}
