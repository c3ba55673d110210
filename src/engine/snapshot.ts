/**
 * A snapshot: everything that is merged, as a stream of chunks in the order that
 * `PROTOCOL.md` demands. It is read from a consistent view, one array of entries at a
 * time, so that its memory doesn't grow with the database.
 */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../clock/site-id.ts';
import type { KVView } from '../storage/kv-store.ts';
import type { WireCheckpoint } from '../wire/schemas.ts';
import { Catalog, migrationToJson, type TableRecord } from './catalog.ts';
import { type Identity, readHead, readHorizon } from './head.ts';
import { tableRange } from './keys.ts';
import { wallTimeToHlc } from './position-clock.ts';
import { decodeRow } from './row.ts';
import { decodeListedTombstone } from './row-set.ts';

const CHUNK_ENTRIES_MAX = 1000;
/** Big values make smaller chunks; about so many characters each. */
const CHUNK_CHARS_MAX = 256 * 1024;

export interface Snapshot {
  /** The position that it covers: the receiver goes on with what is after it. */
  position: HlcText;
  /** Chunks as JSON, to be iterated once. */
  chunks: AsyncIterable<string>;
  /** Releases the view that it is read from; to be called in any case, once or more. */
  close(): Promise<void>;
}

export interface SnapshotContext {
  identity: Identity;
  newSnapshotId(): string;
  /** The server's wall time, in milliseconds. */
  now(): number;
}

interface Start {
  snapshotId: string;
  siteId: SiteIdText;
  hlc: HlcText;
  completed: ReadonlySet<string>;
}

/** @param checkpoint from outside: used where this database's coordinator could have issued it */
export async function openSnapshot(
  view: KVView,
  context: SnapshotContext,
  checkpoint: WireCheckpoint | undefined,
): Promise<Snapshot> {
  try {
    const start = await chooseStart(view, context, checkpoint);
    const catalog = await Catalog.load(view);
    const chunks = streamChunks(view, catalog, start);
    return { position: start.hlc, chunks, close: () => view.close() };
  } catch (error) {
    await view.close();
    throw error;
  }
}

async function chooseStart(
  view: KVView,
  context: SnapshotContext,
  checkpoint: WireCheckpoint | undefined,
): Promise<Start> {
  const { siteId, siteIdText } = context.identity;
  const { position } = await readHead(view);
  if (checkpoint !== undefined) {
    const issuedHere =
      hlcSite(checkpoint.hlc) === siteIdText && compareHlc(checkpoint.hlc, position) <= 0;
    if (issuedHere && compareHlc(checkpoint.hlc, await readHorizon(view)) >= 0) {
      return { ...checkpoint, completed: new Set(checkpoint.completedTables) };
    }
  }
  // Receivers take the header for a clock reading, so after the wall has jumped back it must
  // not be ahead of it. An earlier position only makes them get some changes twice.
  const now = context.now();
  const hlc = hlcWallTimeMs(position) > now ? wallTimeToHlc(now, siteId) : position;
  return { snapshotId: context.newSnapshotId(), siteId: siteIdText, hlc, completed: new Set() };
}

/** Never one that the DDL before it has dropped: receivers fail on its cells for good. */
function sendableTables(catalog: Catalog): TableRecord[] {
  return catalog
    .liveTables()
    .filter(({ schema, table }) => !catalog.timeline.isHidden(schema, table));
}

function tableLabel({ schema, table }: TableRecord): string {
  return `${schema}.${table}`;
}

/** Tables with cells that the receiver doesn't have. Labels that two tables share prove nothing. */
function tablesToSend(tables: TableRecord[], completed: ReadonlySet<string>): TableRecord[] {
  const counts = new Map<string, number>();
  for (const table of tables) {
    counts.set(tableLabel(table), (counts.get(tableLabel(table)) ?? 0) + 1);
  }
  return tables.filter(
    (table) => !(completed.has(tableLabel(table)) && counts.get(tableLabel(table)) === 1),
  );
}

async function* streamChunks(
  view: KVView,
  catalog: Catalog,
  { snapshotId, siteId, hlc, completed }: Start,
): AsyncGenerator<string, void, undefined> {
  const live = sendableTables(catalog);
  const withCells = live.filter((table) => table.cells > 0);
  const migrations = catalog.migrationsByHlc();
  const counts = { tableCount: withCells.length, migrationCount: migrations.length };
  const header = { type: 'header', siteId, hlc, snapshotFormat: 1, ...counts, snapshotId };
  yield JSON.stringify(header);
  for (const migration of migrations) {
    yield `{"type":"schema-migration","migration":${migrationToJson(migration)}}`;
  }
  let totalEntries = 0;
  for (const table of tablesToSend(withCells, completed)) {
    totalEntries += yield* streamTable(view, table);
  }
  for (const table of live) yield* streamTombstones(view, table);
  yield JSON.stringify({
    type: 'footer',
    snapshotId,
    totalTables: withCells.length,
    totalEntries,
    totalMigrations: migrations.length,
  });
}

function tableFields({ schema, table }: TableRecord): string {
  return `"schema":${JSON.stringify(schema)},"table":${JSON.stringify(table)}`;
}

async function* streamTable(view: KVView, table: TableRecord): AsyncGenerator<string, number> {
  const fields = tableFields(table);
  const chunk = new Chunk(`{"type":"column-versions",${fields},"entries":[`);
  yield `{"type":"table-start",${fields},"estimatedEntries":${table.cells}}`;
  for await (const entries of view.iterate(tableRange('r', table.id))) {
    for (const [, value] of entries) {
      for (const [column, { hlc, value: json, pk }] of decodeRow(value).cells) {
        chunk.add(`{"column":${column},"hlc":"${hlc}","value":${json},"pk":${pk}}`);
        if (chunk.isFull) yield chunk.take();
      }
    }
  }
  if (!chunk.isEmpty) yield chunk.take();
  yield `{"type":"table-end",${fields},"entriesWritten":${chunk.total}}`;
  return chunk.total;
}

async function* streamTombstones(view: KVView, table: TableRecord): AsyncGenerator<string> {
  const chunk = new Chunk(`{"type":"tombstone",${tableFields(table)},"entries":[`);
  for await (const entries of view.iterate(tableRange('d', table.id))) {
    for (const [, value] of entries) {
      const { isDead, hlc, position, priorRow, pk } = decodeListedTombstone(value);
      if (!isDead) continue;
      const prior = priorRow === undefined ? '' : `,"priorRow":${priorRow}`;
      chunk.add(`{"pk":${pk},"hlc":"${hlc}","createdAt":${hlcWallTimeMs(position)}${prior}}`);
      if (chunk.isFull) yield chunk.take();
    }
  }
  if (!chunk.isEmpty) yield chunk.take();
}

/** Entries gathered until there are enough for a chunk. */
class Chunk {
  readonly #opening: string;
  #entries: string[] = [];
  #chars = 0;
  /** Entries in all chunks. */
  total = 0;

  constructor(opening: string) {
    this.#opening = opening;
  }

  add(entry: string): void {
    this.#entries.push(entry);
    this.#chars += entry.length;
    this.total++;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  get isFull(): boolean {
    return this.#entries.length >= CHUNK_ENTRIES_MAX || this.#chars >= CHUNK_CHARS_MAX;
  }

  take(): string {
    const text = `${this.#opening}${this.#entries.join(',')}]}`;
    this.#entries = [];
    this.#chars = 0;
    return text;
  }
}
