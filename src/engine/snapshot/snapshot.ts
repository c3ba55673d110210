/**
 * A snapshot: the whole merged state, as a stream of chunks in the order that the protocol demands.
 * It is read from a consistent view, one array of entries at a time, and its catalog is shared, so
 * its memory does not grow with the database.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { WireCheckpoint, WireMigration } from '../../protocol/schemas.ts';
import type { KVView } from '../../storage/kv-store.ts';
import type { LogCursor } from '../log/cursor.ts';
import { ByteBuilder } from '../records/byte-builder.ts';
import { readCounts } from '../records/cell-counts.ts';
import { type Head, type Identity, readHorizon } from '../records/head.ts';
import { joined, letGoOfEach } from '../records/let-go.ts';
import { markAhead, unmark } from '../records/position-marks.ts';
import { LONG_ROW_BYTES, RowReader, type RowsMemory, UNBOUNDED } from '../records/row-reader.ts';
import {
  type LiveTable,
  migrationToJson,
  type Slot,
  toWireMigration,
} from '../records/table-record.ts';
import type { Catalog } from '../tables/catalog.ts';
import { ddlIn } from '../tables/catalog-size.ts';
import { aliasesOf, type TableAliases } from '../tables/table-aliases.ts';
import { type ChunksPart, tableParts, tombstoneParts } from './table-chunks.ts';

/** The size of most chunks of cells. */
const CHUNK_BYTES = 160 * 1024;

export interface Snapshot {
  /** The receiver goes on with the log after this. */
  cursor: LogCursor;
  /**
   * The HLC in its header, which stands for the cursor's position and is never ahead of the clock.
   */
  headerHlc: HlcText;
  /**
   * Chunks as JSON, to be iterated once. The bytes of each are valid until the next one is
   * requested.
   */
  chunks: AsyncIterable<Uint8Array>;
  /** Its DDL by itself, as often as it is asked for. Each is to be dropped before the next. */
  migrations(): AsyncIterable<WireMigration>;
  /** Former names of its tables. */
  aliases: TableAliases;
  /** Releases its view. To be called in any case; more calls do nothing. */
  close(): Promise<void>;
}

/** A view of the store, with the catalog of its moment. */
export interface Moment {
  readonly view: KVView;
  readonly head: Readonly<Head>;
  readonly catalog: Catalog;
}

export interface SnapshotContext {
  identity: Identity;
  newSnapshotId(): string;
  /** The server's wall time, in milliseconds. */
  now(): number;
  /**
   * Called before the first cell. Cells that are older than this HLC are sent with it instead of
   * their own.
   */
  floor(): Promise<HlcText | undefined>;
}

interface Start {
  snapshotId: string;
  siteId: SiteIdText;
  /** The HLC in the header. */
  hlc: HlcText;
  cursor: LogCursor;
  completed: ReadonlySet<string>;
}

/** What is there before the first chunk is read. */
interface Content {
  catalog: Catalog;
  /** Cells by the numbers of the tables: estimates. */
  counts: ReadonlyMap<number, number>;
}

/** What is asked for when its turn comes. */
interface LaterParts {
  migrations(): AsyncIterable<WireMigration>;
  floorOf(): Promise<HlcText | undefined>;
}

/**
 * @param checkpoint sent by a client: ignored unless this database's coordinator could have issued
 *   it
 * @param memory default: unbounded
 */
export async function openSnapshot(
  { view, head, catalog }: Moment,
  context: SnapshotContext,
  checkpoint: WireCheckpoint | undefined,
  memory: RowsMemory = UNBOUNDED,
): Promise<Snapshot> {
  try {
    const start = await chooseStart(view, head, context, checkpoint);
    const content = { catalog, counts: await readCounts(view) };
    const { cursor, hlc: headerHlc } = start;
    const rows = new RowReader(view, memory);
    const migrations = () => joined(admitted(catalog.migrationsByHlc(), memory));
    const floorOf = () => context.floor();
    const chunks = joined(partsOf(rows, content, start, { migrations, floorOf }));
    const aliases = aliasesOf(catalog);
    return { cursor, headerHlc, chunks, migrations, aliases, close: () => view.close() };
  } catch (error) {
    await view.close();
    throw error;
  }
}

async function chooseStart(
  view: KVView,
  head: Head,
  context: SnapshotContext,
  checkpoint: WireCheckpoint | undefined,
): Promise<Start> {
  const { siteIdText } = context.identity;
  const at = (position: HlcText) => ({ position, forgets: head.forgets, isFresh: false });
  if (checkpoint !== undefined && hlcSite(checkpoint.hlc) === siteIdText) {
    const { position } = unmark(checkpoint.hlc);
    if (canBeResumed(position, head, await readHorizon(view))) {
      const completed = new Set(checkpoint.completedTables);
      return { ...checkpoint, cursor: at(position), completed };
    }
  }
  // Receivers set their clocks by the header, so it must not be ahead of the wall clock, even if
  // that has jumped back.
  const { position } = head;
  const hlc = markAhead(position, context.now());
  const snapshotId = context.newSnapshotId();
  return { snapshotId, siteId: siteIdText, hlc, cursor: at(position), completed: new Set() };
}

/**
 * A snapshot can't be resumed after a drop or rename: the checkpoint lists completed tables by
 * name, and a delta from the old position would repeat DDL that the new snapshot leaves out.
 */
function canBeResumed(position: HlcText, head: Head, horizon: HlcText): boolean {
  const isIssued = compareHlc(position, head.position) <= 0;
  return isIssued && compareHlc(head.endedAt, position) <= 0 && compareHlc(position, horizon) >= 0;
}

function tableLabel({ schema, table }: LiveTable): string {
  return `${schema}.${table}`;
}

/** The tables that the receiver has not completed. If two tables share a label, both are sent. */
function tablesToSend(tables: LiveTable[], completed: ReadonlySet<string>): LiveTable[] {
  const counts = new Map<string, number>();
  for (const table of tables) {
    counts.set(tableLabel(table), (counts.get(tableLabel(table)) ?? 0) + 1);
  }
  return tables.filter(
    (table) => !(completed.has(tableLabel(table)) && counts.get(tableLabel(table)) === 1),
  );
}

async function* partsOf(
  rows: RowReader,
  { catalog, counts }: Content,
  { snapshotId, siteId, hlc, completed }: Start,
  { migrations, floorOf }: LaterParts,
): AsyncGenerator<ChunksPart, void, undefined> {
  const live = catalog.liveTables();
  const migrationCount = catalog.migrationsByHlc().length;
  // From the counts, since tables are read only later.
  const tableCount = live.filter(({ id }) => (counts.get(id) ?? 0) > 0).length;
  const header = { type: 'header', siteId, hlc, snapshotFormat: 1, tableCount, migrationCount };
  yield [Buffer.from(JSON.stringify({ ...header, snapshotId }))];
  yield letGoOfEach(migrations(), migrationChunk);
  let totalEntries = 0;
  const builder = new ByteBuilder(CHUNK_BYTES);
  const floor = await floorOf();
  for (const table of tablesToSend(live, completed)) {
    totalEntries += yield* tableParts(rows, table, counts.get(table.id) ?? 0, builder, floor);
  }
  for (const table of live) yield* tombstoneParts(rows, table, builder);
  const totals = { totalTables: tableCount, totalEntries, totalMigrations: migrationCount };
  yield [Buffer.from(JSON.stringify({ type: 'footer', snapshotId, ...totals }))];
}

function* migrationChunk(migration: WireMigration): Generator<Uint8Array> {
  yield Buffer.from(`{"type":"schema-migration","migration":${JSON.stringify(migration)}}`);
}

/** Long DDL waits until there is memory for what is made of it, as a long row does. */
async function* admitted(
  migrations: Iterable<Slot>,
  { admit }: RowsMemory,
): AsyncGenerator<Iterable<WireMigration>, void, undefined> {
  for (const slot of migrations) {
    const bytes = jsonBytesOf(slot);
    const isLong = bytes > LONG_ROW_BYTES;
    if (isLong) await admit(bytes);
    yield wireMigrationOf(slot);
    if (isLong) await admit(0);
  }
}

function* wireMigrationOf(slot: Slot): Generator<WireMigration> {
  yield toWireMigration(slot);
}

/** Written once to find out: a catalog keeps its slots, and all snapshots share it. */
const jsonBytesBySlot = new WeakMap<Slot, number>();
/** A character takes up to so many bytes of JSON. */
const ESCAPED_BYTES = 6;

function jsonBytesOf(slot: Slot): number {
  const most = ESCAPED_BYTES * ddlIn(slot);
  if (most <= LONG_ROW_BYTES) return most;
  const bytes = jsonBytesBySlot.get(slot) ?? Buffer.byteLength(migrationToJson(slot));
  jsonBytesBySlot.set(slot, bytes);
  return bytes;
}
