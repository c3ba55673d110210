/**
 * What a database's tables are: their ids, names and statistics, the DDL that made
 * them, and where a name changed its meaning. Small, and in memory while the database
 * is open. A transaction works on a fork, which takes its place once it is durable, so
 * that readers never see DDL that may yet fail to be stored.
 */

import { compareHlc, HLC_MIN, type HlcText } from '../clock/hlc.ts';
import type { KVReader, KVTransaction } from '../storage/kv-store.ts';
import type { MigrationType, WireMigration } from '../wire/schemas.ts';
import { boundaryKey, kindRange, migrationKey, tableKey } from './keys.ts';
import { NameMap } from './name-map.ts';
import { bytesToText } from './row.ts';
import { type Boundary, boundaryIdentity, TableTimeline } from './table-timeline.ts';

export interface TableRecord {
  id: number;
  schema: string;
  table: string;
  /** The newest HLC that was ever written to it. */
  newest: HlcText;
  /** Cells that it holds now. */
  cells: number;
  /** For a table that came to its name by being renamed: since when. */
  enteredAt?: HlcText;
  /** Dropped: no name leads to it any more, its rows wait to be cleared away. */
  dropped?: true;
}

const INDEX_MIGRATIONS: ReadonlySet<MigrationType> = new Set(['add_index', 'drop_index']);

/** What two migrations must share for the later HLC to replace the other. */
export function migrationSlot(migration: WireMigration): string {
  const kind = INDEX_MIGRATIONS.has(migration.type) ? 'index' : 'table';
  return JSON.stringify([migration.schema, kind, migration.table, migration.schemaVersion]);
}

/** A migration with the protocol's fields only, in one order. */
export function migrationToJson(migration: WireMigration): string {
  const { type, schema, table, fromTable, ddl, hlc, schemaVersion } = migration;
  return JSON.stringify({ type, schema, table, fromTable, ddl, hlc, schemaVersion });
}

function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function* readJson(reader: KVReader, kind: 'g' | 't' | 'b'): AsyncGenerator<unknown> {
  for await (const entries of reader.iterate(kindRange(kind))) {
    for (const [, value] of entries) yield JSON.parse(bytesToText(value));
  }
}

export class Catalog {
  /** By slot, then in no order. */
  readonly migrations = new Map<string, WireMigration>();
  readonly tables = new Map<number, TableRecord>();
  readonly boundaries: Boundary[] = [];
  readonly timeline = new TableTimeline();
  readonly #liveIdsByName = new NameMap<number>();
  #nextTableId = 1;

  static async load(reader: KVReader): Promise<Catalog> {
    const catalog = new Catalog();
    for await (const value of readJson(reader, 'g')) catalog.#addMigration(value as WireMigration);
    for await (const value of readJson(reader, 't')) catalog.#addTable(value as TableRecord);
    for await (const value of readJson(reader, 'b')) catalog.#addBoundary(value as Boundary);
    return catalog;
  }

  #addMigration(migration: WireMigration): void {
    this.migrations.set(migrationSlot(migration), migration);
  }

  #addTable(table: TableRecord): void {
    this.tables.set(table.id, table);
    if (!table.dropped) this.#liveIdsByName.set(table.schema, table.table, table.id);
    this.#nextTableId = Math.max(this.#nextTableId, table.id + 1);
  }

  #addBoundary(boundary: Boundary): void {
    this.boundaries.push(boundary);
    this.timeline.add(boundary);
  }

  fork(): Catalog {
    const fork = new Catalog();
    for (const migration of this.migrations.values()) fork.#addMigration(migration);
    for (const table of this.tables.values()) fork.#addTable(table);
    for (const boundary of this.boundaries) fork.#addBoundary(boundary);
    fork.#nextTableId = this.#nextTableId;
    return fork;
  }

  liveTable(schema: string, table: string): TableRecord | undefined {
    const id = this.#liveIdsByName.get(schema, table);
    return id === undefined ? undefined : this.tables.get(id);
  }

  /** Tables with a name, in the order in which they were made. */
  liveTables(): TableRecord[] {
    return [...this.tables.values()].filter((table) => !table.dropped).sort((a, b) => a.id - b.id);
  }

  migrationsByHlc(): WireMigration[] {
    return [...this.migrations.values()].sort((a, b) => compareHlc(a.hlc, b.hlc));
  }

  createTable(schema: string, table: string): TableRecord {
    const created = { id: this.#nextTableId, schema, table, newest: HLC_MIN, cells: 0 };
    this.#addTable(created);
    return created;
  }

  saveMigration(migration: WireMigration, transaction: KVTransaction): void {
    this.#addMigration(migration);
    const json = Buffer.from(migrationToJson(migration));
    transaction.put(migrationKey(migrationSlot(migration)), json);
  }

  saveBoundary(boundary: Boundary, transaction: KVTransaction): void {
    this.#addBoundary(boundary);
    transaction.put(boundaryKey(boundaryIdentity(boundary)), encodeJson(boundary));
  }

  saveTable(table: TableRecord, transaction: KVTransaction): void {
    this.#addTable(table);
    transaction.put(tableKey(table.id), encodeJson(table));
  }

  drop(table: TableRecord, transaction: KVTransaction): void {
    this.#liveIdsByName.delete(table.schema, table.table);
    this.saveTable({ ...table, dropped: true }, transaction);
  }

  rename(table: TableRecord, to: string, at: HlcText, transaction: KVTransaction): void {
    this.#liveIdsByName.delete(table.schema, table.table);
    this.saveTable({ ...table, table: to, enteredAt: at }, transaction);
  }

  /** A dropped table whose last row has been cleared away. */
  forget(table: TableRecord, transaction: KVTransaction): void {
    this.tables.delete(table.id);
    transaction.delete(tableKey(table.id));
  }
}
