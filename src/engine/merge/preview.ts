/**
 * The tables as they would be with change sets merged that are not stored yet, so that a hook can
 * decide about the next ones. It decides as the merge does, and writes nothing.
 */

import { HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { KVStore } from '../../storage/kv-store.ts';
import { rowKey, tableRange } from '../records/keys.ts';
import { joined, letGoOfEach } from '../records/let-go.ts';
import type { Pace } from '../records/pace.ts';
import {
  createRow,
  decodeRow,
  mergeCell,
  mergeTombstone,
  type Row,
  rowIdentity,
} from '../records/row.ts';
import { RowReader, type RowsMemory, UNBOUNDED } from '../records/row-reader.ts';
import type { TableRecord } from '../records/table-record.ts';
import { CatalogDraft } from '../tables/catalog-draft.ts';
import { isOneTable, LongRow, readTable, toWireRow, type WireRow } from '../tables/stored-rows.ts';
import { isBelowFloor, targetOf } from '../tables/table-names.ts';
import { mergeMigration, workOf } from './table-ddl.ts';
import type { CommittedState } from './write-transaction.ts';

export interface PreviewContext {
  store: KVStore;
  state: CommittedState;
  /** Whether the catalog of `state` is still the newest. */
  isCurrent(): boolean;
  allowResurrection: boolean;
  pace: Pace;
}

interface TableName {
  schema: string;
  table: string;
}

/**
 * A stored table that holds rows of the table asked for. What is not newer than the floor was
 * dropped.
 */
interface Source {
  id: number;
  floor: HlcText;
}

export class Preview {
  readonly #context: PreviewContext;
  readonly #catalog: CatalogDraft;
  /** The changes of each row in order, by the table's number and the identity of the row's key. */
  readonly #changes = new Map<number, Map<string, WireChange[]>>();
  #unmerged: WireChangeSet[] = [];
  #merging: Promise<void> = Promise.resolve();

  constructor(context: PreviewContext) {
    const { catalog, head } = context.state;
    this.#context = context;
    this.#catalog = new CatalogDraft(catalog, head.nextTable);
  }

  /** Once this is false rows may have moved to other tables: make a new preview. */
  get isCurrent(): boolean {
    return this.#context.isCurrent();
  }

  /** Later reads show the tables with these merged, too. */
  add(changeSets: readonly WireChangeSet[]): void {
    for (const set of changeSets) this.#unmerged.push(set);
  }

  /**
   * @param pk in its JSON form
   * @throws LongRow if more than `bytesMax` bytes are stored of the row
   */
  async row(
    { schema, table, pk }: TableName & { pk: readonly unknown[] },
    bytesMax = Number.POSITIVE_INFINITY,
  ): Promise<WireRow | undefined> {
    await this.#merged();
    const found = readTable(this.#catalog, schema, table);
    if (found === undefined) return undefined;
    return toWireRow(await this.#rowOf(pkIdentity(pk), this.#sourcesOf(found), bytesMax));
  }

  /** Whether two names mean one table. */
  async isOneTable(a: TableName, b: TableName): Promise<boolean> {
    await this.#merged();
    return isOneTable(this.#catalog, a, b);
  }

  /** All rows of a table, in no order. */
  rows(table: TableName, memory: RowsMemory = UNBOUNDED): AsyncIterable<WireRow> {
    return joined(this.#rowParts(table, memory));
  }

  async *#rowParts(
    { schema, table }: TableName,
    memory: RowsMemory,
  ): AsyncGenerator<AsyncIterable<WireRow>> {
    await this.#merged();
    const found = readTable(this.#catalog, schema, table);
    if (found === undefined) return;
    const sources = this.#sourcesOf(found);
    for (const [i, source] of sources.entries()) {
      const before = sources.slice(0, i);
      yield letGoOfEach(this.#identitiesIn(source, memory), (identity) =>
        this.#rowUnless(identity, before, sources),
      );
    }
  }

  /** Nothing for a row that is in a table before. */
  async *#rowUnless(
    identity: string,
    before: readonly Source[],
    sources: readonly Source[],
  ): AsyncGenerator<WireRow> {
    if (await this.#isInAny(identity, before)) return;
    const row = toWireRow(await this.#rowOf(identity, sources));
    if (row !== undefined) yield row;
  }

  /** The table, and those that it has replaced and whose rows have yet to move to it. */
  #sourcesOf(table: TableRecord): Source[] {
    const sources: Source[] = [{ id: table.id, floor: table.floor }];
    for (const source of sources) {
      for (const { id, floor } of this.#catalog.endedInto(source.id)) {
        const isDirect = source.id === table.id;
        sources.push({ id, floor: isDirect ? floor : maxHlc(source.floor, floor) });
      }
    }
    return sources;
  }

  async *#identitiesIn({ id }: Source, memory: RowsMemory): AsyncGenerator<string> {
    const left = new Set(this.#changes.get(id)?.keys());
    if (this.#isStored(id)) {
      const view = await this.#context.store.view();
      try {
        const rows = new RowReader(view, memory);
        yield* letGoOfEach(rows.read(tableRange('r', id)), function* (entries) {
          for (const [, bytes] of entries) {
            const identity = rowIdentity(decodeRow(bytes));
            left.delete(identity);
            yield identity;
          }
        });
      } finally {
        await view.close();
      }
    }
    yield* left;
  }

  async #isInAny(identity: string, sources: readonly Source[]): Promise<boolean> {
    if (sources.some(({ id }) => this.#changes.get(id)?.has(identity))) return true;
    return (await this.#storedRows(identity, sources)).some((bytes) => bytes !== undefined);
  }

  async #storedRows(identity: string, sources: readonly Source[]) {
    const keys = sources.map(({ id }) => rowKey(id, identity));
    const values = keys.length === 0 ? [] : await this.#context.store.getMany(keys);
    return values.map((bytes, i) => (this.#isStored(sources[i]?.id ?? 0) ? bytes : undefined));
  }

  /** A table made by the preview has a number that may be that of another table in the store. */
  #isStored(id: number): boolean {
    return this.#context.state.catalog.table(id) !== undefined;
  }

  async #rowOf(
    identity: string,
    sources: readonly Source[],
    bytesMax = Number.POSITIVE_INFINITY,
  ): Promise<Row> {
    const { allowResurrection } = this.#context;
    const stored = await this.#storedRows(identity, sources);
    const bytes = stored.reduce((sum, row) => sum + (row?.length ?? 0), 0);
    if (bytes > bytesMax) throw new LongRow(bytes);
    const row = createRow();
    for (const [i, { id, floor }] of sources.entries()) {
      const bytes = stored[i];
      const part = bytes === undefined ? createRow() : decodeRow(bytes);
      for (const change of this.#changes.get(id)?.get(identity) ?? []) {
        this.#mergeChange(part, change);
      }
      // What is not newer than the floor was dropped.
      const { tombstone } = part;
      if (tombstone !== undefined && !isBelowFloor({ floor }, tombstone.hlc)) {
        mergeTombstone(row, tombstone, allowResurrection);
      }
      for (const [column, cell] of part.cells) {
        if (!isBelowFloor({ floor }, cell.hlc)) mergeCell(row, column, cell, allowResurrection);
      }
    }
    return row;
  }

  #mergeChange(row: Row, change: WireChange): void {
    const { allowResurrection } = this.#context;
    const { hlc } = change;
    const pk = JSON.stringify(change.pk);
    if (change.type === 'delete') {
      mergeTombstone(row, { hlc, position: hlc, priorRow: undefined, pk }, allowResurrection);
    } else {
      const cell = { hlc, value: JSON.stringify(change.value), pk };
      mergeCell(row, JSON.stringify(change.column), cell, allowResurrection);
    }
  }

  /** Merges what was added. Calls run one after the other. */
  #merged(): Promise<void> {
    this.#merging = this.#merging.then(() => this.#mergeAdded());
    return this.#merging;
  }

  async #mergeAdded(): Promise<void> {
    const added = this.#unmerged;
    this.#unmerged = [];
    for (const { schemaMigrations, changes } of added) {
      for (const migration of schemaMigrations) {
        const turn = this.#context.pace.did(this.#mergeMigration(migration));
        if (turn !== undefined) await turn;
      }
      for (const change of changes) {
        this.#note(change);
        const turn = this.#context.pace.did(1);
        if (turn !== undefined) await turn;
      }
    }
  }

  /**
   * A migration that exceeds a limit leaves the tables as they are.
   * @returns see `workOf`
   */
  #mergeMigration(migration: WireMigration): number {
    let merged = { read: 0 };
    try {
      merged = mergeMigration(this.#catalog, migration, migration.hlc);
    } catch (error) {
      if (!(error instanceof SyncError)) throw error;
    }
    return workOf(merged);
  }

  #note(change: WireChange): void {
    const { schema, table, hlc } = change;
    let target = targetOf(this.#catalog, schema, table, hlc);
    if (target === 'unknown') {
      target = this.#catalog.create({ schema, table, made: HLC_MIN, changed: hlc });
    }
    if (target === 'void') return;
    const ofTable = this.#changes.get(target.id) ?? new Map<string, WireChange[]>();
    this.#changes.set(target.id, ofTable);
    const identity = pkIdentity(change.pk);
    const ofRow = ofTable.get(identity);
    if (ofRow === undefined) ofTable.set(identity, [change]);
    else ofRow.push(change);
  }
}
