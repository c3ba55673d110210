/** Reads the merged tables of one database: rows, snapshots, and rows as they would be with more changes. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { WireCheckpoint } from '../protocol/schemas.ts';
import type { KVStore } from '../storage/kv-store.ts';
import type { DatabaseState } from './database-state.ts';
import type { HeldSites } from './held-sites.ts';
import { Preview } from './merge/preview.ts';
import type { Identity } from './records/head.ts';
import type { Pace } from './records/pace.ts';
import { type RowsMemory, UNBOUNDED } from './records/row-reader.ts';
import { openSnapshot, type Snapshot } from './snapshot/snapshot.ts';
import { isOneTable, readRow, readRows, type WireRow } from './tables/stored-rows.ts';
import { aliasesOf, type TableAliases } from './tables/table-aliases.ts';
import { type VoidingDdl, voidingOf } from './tables/voiding-ddl.ts';

/** Who reads a snapshot, and which rows of it. */
export interface SnapshotUse {
  /** The reader's. */
  site?: SiteIdText | undefined;
  /** For its rows; default: unbounded. */
  memory?: RowsMemory | undefined;
}

export interface TableReadsContext {
  store: KVStore;
  identity: Identity;
  state: DatabaseState;
  held: HeldSites;
  allowResurrection: boolean;
  /** Wall time in milliseconds. */
  now(): number;
  newSnapshotId(): string;
  newPace(): Pace;
  /** Resolves once nothing has to move that a site may have written: it is told of that only in a snapshot. */
  settle(site: SiteIdText): Promise<void>;
}

export class TableReads {
  readonly #context: TableReadsContext;

  constructor(context: TableReadsContext) {
    this.#context = context;
  }

  /** Former names of the tables, by their current names. */
  get aliases(): TableAliases {
    return aliasesOf(this.#context.state.current.catalog);
  }

  /** Whether two names mean one table, since it was renamed from one to the other. */
  areOne(a: { schema: string; table: string }, b: { schema: string; table: string }): boolean {
    return isOneTable(this.#context.state.current.catalog, a, b);
  }

  /** The DDL that has made what was sent count for nothing, or led it elsewhere. */
  get voiding(): VoidingDdl {
    return voidingOf(this.#context.state.current.catalog);
  }

  /**
   * Reads a merged row by its primary key in JSON form.
   * @throws LongRow if it has more than `bytesMax` bytes
   */
  row(
    row: { schema: string; table: string; pk: readonly unknown[] },
    bytesMax = Number.POSITIVE_INFINITY,
  ): Promise<WireRow | undefined> {
    const { store, state } = this.#context;
    return readRow(store, state.current.catalog, row, bytesMax);
  }

  /** All rows of a table, in no order, as of the moment when the first one is asked for. */
  rows(
    table: { schema: string; table: string },
    memory: RowsMemory = UNBOUNDED,
  ): AsyncIterable<WireRow> {
    const { store, state } = this.#context;
    const open = async () => ({ view: await store.view(), catalog: state.current.catalog });
    return readRows(open, table, memory);
  }

  /**
   * Shows how the tables would be with more changes merged. Valid while the catalog stays the same
   * (`isCurrent`).
   */
  preview(): Preview {
    const { store, state, allowResurrection, newPace } = this.#context;
    const seen = state.current;
    const isCurrent = () => state.current.catalog === seen.catalog;
    return new Preview({ store, state: seen, isCurrent, allowResurrection, pace: newPace() });
  }

  async snapshot(
    checkpoint?: WireCheckpoint,
    { site, memory }: SnapshotUse = {},
  ): Promise<Snapshot> {
    const { state, identity, held, newSnapshotId, now, settle } = this.#context;
    if (site !== undefined) await settle(site);
    const floor = async () => (site === undefined ? undefined : (await held.floorOf(site))?.hlc);
    const context = { floor, identity, newSnapshotId, now };
    return openSnapshot(await state.view(), context, checkpoint, memory);
  }
}
