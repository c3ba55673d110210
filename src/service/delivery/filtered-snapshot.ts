/**
 * A snapshot without what a client may not see. Each chunk goes through the read filter as a change
 * set of the coordinator at the snapshot's position. What is left keeps its order and form. Counts
 * are of what is sent, except `tableCount`, which is always 0: it is sent before the tables are
 * filtered.
 */

import { letGoOfEach } from '../../engine/records/let-go.ts';
import { bytesToText } from '../../engine/records/row.ts';
import type { Snapshot } from '../../engine/snapshot/snapshot.ts';
import type { TableAliases } from '../../engine/tables/table-aliases.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { SnapshotChunk, SnapshotChunks } from '../../protocol/server-messages.ts';
import type { Stamp } from '../access/rights.ts';
import { changed, DdlFilter, type SnapshotRight } from './filtered-ddl.ts';
import type { ReadFilter } from './read-filter.ts';

type TableChunk = Exclude<SnapshotChunk, { type: 'header' | 'schema-migration' }>;

/** The filtered part, and the stamp of the right that it was filtered under. */
interface Seen {
  stamp: Stamp;
  left: WireChangeSet | undefined;
}

/** Gives out each chunk only if the client may see it at that moment. */
export function filterSnapshot(
  snapshot: Snapshot,
  filter: ReadFilter | undefined,
  right: SnapshotRight,
): Snapshot {
  const { chunks } = snapshot;
  if (filter === undefined) return { ...snapshot, chunks: whileWhole(chunks, right) };
  const seen = new SnapshotFilter(snapshot, filter, right);
  const texts = letGoOfEach(chunks, (chunk) => seen.textsOf(chunk));
  return { ...snapshot, chunks: letGoOfEach(texts, encode) };
}

/** Passes chunks on as stored. Fails if the modules filter by now. */
function whileWhole(
  chunks: AsyncIterable<Uint8Array>,
  right: SnapshotRight,
): AsyncIterable<Uint8Array> {
  const stamp: Stamp = { ...right.now(), isFiltered: false };
  return letGoOfEach(chunks, async function* (chunk) {
    while (!(await right.holds(stamp))) if (right.now().isFiltered) throw changed();
    yield chunk;
  });
}

function* encode(text: string): Generator<Uint8Array> {
  yield Buffer.from(text);
}

class SnapshotFilter {
  readonly #readFilter: ReadFilter;
  readonly #aliases: TableAliases;
  readonly #right: SnapshotRight;
  #header: SnapshotChunks['header'] | undefined;
  readonly #ddl: DdlFilter;
  /** A `table-start` that is sent once its table turns out to have a visible entry. */
  #start: object | undefined;
  #entriesWritten = 0;
  readonly #totals = { totalTables: 0, totalEntries: 0, totalMigrations: 0 };

  constructor({ aliases, migrations }: Snapshot, filter: ReadFilter, right: SnapshotRight) {
    this.#readFilter = filter;
    this.#aliases = aliases;
    this.#right = right;
    const see = async (schemaMigrations: WireMigration[]) =>
      (await this.#filtered({ schemaMigrations }))?.schemaMigrations ?? [];
    this.#ddl = new DdlFilter({ migrations, right, see });
  }

  /** What is sent of one chunk after the other. */
  async *textsOf(bytes: Uint8Array): AsyncGenerator<string, void, undefined> {
    const chunk: SnapshotChunk = JSON.parse(bytesToText(bytes));
    if (chunk.type === 'header') {
      this.#header = chunk;
      const migrationCount = await this.#ddl.count();
      this.#totals.totalMigrations = migrationCount;
      yield JSON.stringify({ ...chunk, tableCount: 0, migrationCount });
    } else if (chunk.type === 'schema-migration') {
      yield* this.#ddl.add(chunk.migration, bytes.length);
    } else {
      yield* this.#ddl.end();
      yield* this.#filter(chunk);
    }
  }

  /** Filters a part, again if the right has changed meanwhile. */
  async #see(part: Partial<WireChangeSet>): Promise<Seen> {
    for (;;) {
      const stamp = this.#right.now();
      const left = await this.#filtered(part);
      if (await this.#right.holds(stamp)) return { stamp, left };
    }
  }

  /** Filters the part again if the right has changed since, while something else was sent. */
  async #seeAgain(seen: Seen, part: Partial<WireChangeSet>): Promise<Seen> {
    return (await this.#right.holds(seen.stamp)) ? seen : this.#see(part);
  }

  async #filtered(part: Partial<WireChangeSet>): Promise<WireChangeSet | undefined> {
    if (this.#header === undefined) throw new Error('a snapshot begins with its header');
    const { siteId, hlc, snapshotId } = this.#header;
    const envelope = { siteId, hlc, transactionId: `snapshot:${snapshotId}` };
    const whole = { ...envelope, changes: [], schemaMigrations: [], ...part };
    const [left] = await this.#readFilter([whole], this.#aliases);
    return left;
  }

  async *#filter(chunk: TableChunk): AsyncGenerator<string, void, undefined> {
    switch (chunk.type) {
      case 'table-start':
        this.#start = chunk;
        this.#entriesWritten = 0;
        return;
      case 'column-versions':
        yield* this.#filterCells(chunk);
        return;
      case 'table-end': {
        // Leave out a table without a visible entry.
        if (this.#start !== undefined) return;
        const entriesWritten = this.#entriesWritten;
        this.#totals.totalTables++;
        this.#totals.totalEntries += entriesWritten;
        yield JSON.stringify({ ...chunk, entriesWritten });
        return;
      }
      case 'tombstone':
        yield* this.#filterTombstones(chunk);
        return;
      case 'footer':
        yield JSON.stringify({ ...chunk, ...this.#totals });
    }
  }

  async *#filterCells({
    type,
    schema,
    table,
    entries,
  }: SnapshotChunks['column-versions']): AsyncGenerator<string, void, undefined> {
    const changes = entries.map((entry): WireChange => {
      const { column, hlc, value, pk } = entry;
      return { type: 'column', schema, table, pk, column, value, hlc };
    });
    let seen = await this.#see({ changes });
    const cells = () => seen.left?.changes.flatMap(toCellEntry) ?? [];
    if (cells().length === 0) return;
    if (this.#start !== undefined) {
      // The total would tell how much is hidden, so the estimate is that of the first chunk.
      const start = JSON.stringify({ ...this.#start, estimatedEntries: cells().length });
      this.#start = undefined;
      yield start;
      seen = await this.#seeAgain(seen, { changes });
    }
    const left = cells();
    if (left.length === 0) return;
    this.#entriesWritten += left.length;
    yield JSON.stringify({ type, schema, table, entries: left });
  }

  async *#filterTombstones({
    type,
    schema,
    table,
    entries,
  }: SnapshotChunks['tombstone']): AsyncGenerator<string, void, undefined> {
    const entryByChange = new Map<WireChange, SnapshotChunks['tombstone']['entries'][number]>(
      entries.map(({ pk, hlc, createdAt }) => {
        return [
          { type: 'delete', schema, table, pk, hlc },
          { pk, hlc, createdAt },
        ];
      }),
    );
    const { left } = await this.#see({ changes: [...entryByChange.keys()] });
    if (left === undefined) return;
    const seen = left.changes.map((change) => entryByChange.get(change));
    yield JSON.stringify({ type, schema, table, entries: seen });
  }
}

function toCellEntry(change: WireChange): SnapshotChunks['column-versions']['entries'] {
  if (change.type !== 'column') return [];
  const { column, hlc, value, pk } = change;
  return [{ column, hlc, value, pk }];
}
