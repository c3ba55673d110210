/**
 * A snapshot as one client may see it. The hook sees each chunk as a change set of the
 * coordinator's at the snapshot's position, so that one filter does for everything. What is
 * left keeps its order and its form; the counts are those of what is sent, but for `tableCount`,
 * which is told before anybody has looked.
 */

import { bytesToText } from '../engine/records/row.ts';
import type { Snapshot } from '../engine/snapshot/snapshot.ts';
import type { TableAliases } from '../engine/tables/table-aliases.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../protocol/schemas.ts';
import type { SnapshotChunk, SnapshotChunks } from '../protocol/server-messages.ts';
import type { Narrow } from './client-view.ts';

type TableChunk = Exclude<SnapshotChunk, { type: 'header' | 'schema-migration' }>;

export function narrowSnapshot(snapshot: Snapshot, view: Narrow | undefined): Snapshot {
  if (view === undefined) return snapshot;
  return {
    ...snapshot,
    chunks: encode(new SnapshotNarrowing(view, snapshot.aliases).run(snapshot.chunks)),
  };
}

async function* encode(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const text of texts) yield Buffer.from(text);
}

class SnapshotNarrowing {
  readonly #view: Narrow;
  readonly #aliases: TableAliases;
  #header: SnapshotChunks['header'] | undefined;
  /** All that come before the first table: the header tells how many are left of them. */
  #migrations: WireMigration[] | undefined = [];
  /** A `table-start` that waits for something to follow. */
  #start: object | undefined;
  #entriesWritten = 0;
  readonly #totals = { totalTables: 0, totalEntries: 0, totalMigrations: 0 };

  constructor(view: Narrow, aliases: TableAliases) {
    this.#view = view;
    this.#aliases = aliases;
  }

  async *run(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
    for await (const bytes of chunks) {
      const chunk: SnapshotChunk = JSON.parse(bytesToText(bytes));
      if (chunk.type === 'header') {
        this.#header = chunk;
      } else if (chunk.type === 'schema-migration') {
        this.#migrations?.push(chunk.migration);
      } else {
        yield* await this.#begin();
        yield* await this.#narrow(chunk);
      }
    }
  }

  async #see(part: Partial<WireChangeSet>): Promise<WireChangeSet | undefined> {
    if (this.#header === undefined) throw new Error('a snapshot begins with its header');
    const { siteId, hlc, snapshotId } = this.#header;
    const envelope = { siteId, hlc, transactionId: `snapshot:${snapshotId}` };
    const whole = { ...envelope, changes: [], schemaMigrations: [], ...part };
    const [left] = await this.#view([whole], this.#aliases);
    return left;
  }

  /** The header and the DDL, the first time that something else comes. */
  async #begin(): Promise<string[]> {
    if (this.#migrations === undefined) return [];
    const schemaMigrations = this.#migrations;
    this.#migrations = undefined;
    const seen = schemaMigrations.length > 0 ? await this.#see({ schemaMigrations }) : undefined;
    const left = seen?.schemaMigrations ?? [];
    this.#totals.totalMigrations = left.length;
    return [
      JSON.stringify({ ...this.#header, migrationCount: left.length }),
      ...left.map((migration) => JSON.stringify({ type: 'schema-migration', migration })),
    ];
  }

  async #narrow(chunk: TableChunk): Promise<string[]> {
    switch (chunk.type) {
      case 'table-start':
        this.#start = chunk;
        this.#entriesWritten = 0;
        return [];
      case 'column-versions':
        return this.#narrowCells(chunk);
      case 'table-end': {
        // A table of which nothing may be seen is not mentioned.
        const entriesWritten = this.#entriesWritten;
        if (entriesWritten === 0) return [];
        this.#totals.totalTables++;
        this.#totals.totalEntries += entriesWritten;
        return [JSON.stringify({ ...chunk, entriesWritten })];
      }
      case 'tombstone':
        return this.#narrowTombstones(chunk);
      case 'footer':
        return [JSON.stringify({ ...chunk, ...this.#totals })];
    }
  }

  async #narrowCells({
    type,
    schema,
    table,
    entries,
  }: SnapshotChunks['column-versions']): Promise<string[]> {
    const changes = entries.map((entry): WireChange => {
      const { column, hlc, value, pk } = entry;
      return { type: 'column', schema, table, pk, column, value, hlc };
    });
    const left = await this.#see({ changes });
    if (left === undefined) return [];
    const seen = left.changes.flatMap(toCellEntry);
    this.#entriesWritten += seen.length;
    // An estimate by what there is would tell how much is left out: so it goes by the first chunk.
    const estimatedEntries = seen.length;
    const start =
      this.#start === undefined ? [] : [JSON.stringify({ ...this.#start, estimatedEntries })];
    this.#start = undefined;
    return [...start, JSON.stringify({ type, schema, table, entries: seen })];
  }

  async #narrowTombstones({
    type,
    schema,
    table,
    entries,
  }: SnapshotChunks['tombstone']): Promise<string[]> {
    const entryByChange = new Map<WireChange, SnapshotChunks['tombstone']['entries'][number]>(
      entries.map(({ pk, hlc, createdAt }) => {
        return [
          { type: 'delete', schema, table, pk, hlc },
          { pk, hlc, createdAt },
        ];
      }),
    );
    const left = await this.#see({ changes: [...entryByChange.keys()] });
    if (left === undefined) return [];
    const seen = left.changes.map((change) => entryByChange.get(change));
    return [JSON.stringify({ type, schema, table, entries: seen })];
  }
}

function toCellEntry(change: WireChange): SnapshotChunks['column-versions']['entries'] {
  if (change.type !== 'column') return [];
  const { column, hlc, value, pk } = change;
  return [{ column, hlc, value, pk }];
}
