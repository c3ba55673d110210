/** The chunks of a table's rows in a snapshot. */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../../clock/hlc.ts';
import type { KVEntry } from '../../storage/kv-store.ts';
import type { ByteBuilder } from '../records/byte-builder.ts';
import { tableRange } from '../records/keys.ts';
import { letGoOfEach } from '../records/let-go.ts';
import { bytesToText, CellScanner } from '../records/row.ts';
import type { RowReader } from '../records/row-reader.ts';
import { decodeListedTombstone } from '../records/row-set.ts';
import type { LiveTable } from '../records/table-record.ts';

/** Some chunks. They are passed on by part: see `let-go.ts`. */
export type ChunksPart = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

const CHUNK_ENTRIES_MAX = 1000;
/** A chunk ends once it has this many bytes. */
const CHUNK_BYTES_MAX = 256 * 1024;

function tableFields({ schema, table }: LiveTable): string {
  return `"schema":${JSON.stringify(schema)},"table":${JSON.stringify(table)}`;
}

/** The constant parts of an entry. */
const OF_CELL = {
  hlc: Buffer.from('{"hlc":"'),
  column: Buffer.from('","column":'),
  value: Buffer.from(',"value":'),
  pk: Buffer.from(',"pk":'),
  end: Buffer.from('}'),
};

/** Sends nothing for a table without cells. @returns the number of its entries */
export async function* tableParts(
  rows: RowReader,
  table: LiveTable,
  estimatedEntries: number,
  builder: ByteBuilder,
  floor: HlcText | undefined,
): AsyncGenerator<ChunksPart, number> {
  const fields = tableFields(table);
  const chunk = new Chunk(`{"type":"column-versions",${fields},"entries":[`, builder);
  const start = `{"type":"table-start",${fields},"estimatedEntries":${estimatedEntries}}`;
  const add = (entries: readonly KVEntry[]) => addCells(entries, { chunk, start, builder, floor });
  yield letGoOfEach(rows.read(tableRange('r', table.id)), add);
  if (chunk.total === 0) return 0;
  if (!chunk.isEmpty) yield chunk.lend();
  yield [Buffer.from(`{"type":"table-end",${fields},"entriesWritten":${chunk.total}}`)];
  return chunk.total;
}

interface CellChunks {
  chunk: Chunk;
  /** What stands before the first one. */
  start: string;
  builder: ByteBuilder;
  floor: HlcText | undefined;
}

function* addCells(
  entries: readonly KVEntry[],
  { chunk, start, builder, floor }: CellChunks,
): Generator<Uint8Array> {
  const cell = new CellScanner();
  const floorBytes = Buffer.from(floor ?? '');
  for (const [, bytes] of entries) {
    cell.open(bytes);
    while (cell.next()) {
      if (chunk.total === 0) yield Buffer.from(start);
      chunk.begin();
      builder.add(OF_CELL.hlc);
      if (floor !== undefined && isBelow(bytes, cell, floor)) builder.add(floorBytes);
      else builder.add(bytes, cell.hlcStart, cell.hlcEnd);
      builder.add(OF_CELL.column);
      builder.add(bytes, cell.columnStart, cell.columnEnd);
      builder.add(OF_CELL.value);
      builder.add(bytes, cell.valueStart, cell.valueEnd);
      builder.add(OF_CELL.pk);
      builder.add(bytes, cell.pkStart, cell.pkEnd);
      builder.add(OF_CELL.end);
      if (chunk.isFull) yield* chunk.lend();
    }
  }
}

function isBelow(bytes: Uint8Array, { hlcStart, hlcEnd }: CellScanner, floor: HlcText): boolean {
  return compareHlc(bytesToText(bytes.subarray(hlcStart, hlcEnd)), floor) < 0;
}

export async function* tombstoneParts(
  rows: RowReader,
  table: LiveTable,
  builder: ByteBuilder,
): AsyncGenerator<ChunksPart> {
  const chunk = new Chunk(`{"type":"tombstone",${tableFields(table)},"entries":[`, builder);
  const add = (entries: readonly KVEntry[]) => addTombstones(entries, chunk, builder);
  yield letGoOfEach(rows.read(tableRange('d', table.id)), add);
  if (!chunk.isEmpty) yield chunk.lend();
}

function* addTombstones(
  entries: readonly KVEntry[],
  chunk: Chunk,
  builder: ByteBuilder,
): Generator<Uint8Array> {
  for (const [, value] of entries) {
    const { isDead, hlc, position, priorRow, pk } = decodeListedTombstone(value);
    if (!isDead) continue;
    chunk.begin();
    const prior = priorRow === undefined ? '' : `,"priorRow":${priorRow}`;
    const createdAt = hlcWallTimeMs(position);
    builder.add(Buffer.from(`{"pk":${pk},"hlc":"${hlc}","createdAt":${createdAt}${prior}}`));
    if (chunk.isFull) yield* chunk.lend();
  }
}

const COMMA = Buffer.from(',');
const CHUNK_END = Buffer.from(']}');

/** Gathers entries until there are enough for a chunk. */
class Chunk {
  readonly #opening: Buffer;
  readonly #builder: ByteBuilder;
  #entries = 0;
  /** Entries in all chunks. */
  total = 0;

  /** @param builder shared: only one chunk is built at a time */
  constructor(opening: string, builder: ByteBuilder) {
    this.#opening = Buffer.from(opening);
    this.#builder = builder;
  }

  /** To be called before each entry. */
  begin(): void {
    this.#builder.add(this.#entries === 0 ? this.#opening : COMMA);
    this.#entries++;
    this.total++;
  }

  get isEmpty(): boolean {
    return this.#entries === 0;
  }

  get isFull(): boolean {
    return this.#entries >= CHUNK_ENTRIES_MAX || this.#builder.length >= CHUNK_BYTES_MAX;
  }

  *lend(): Generator<Buffer, void> {
    this.#builder.add(CHUNK_END);
    this.#entries = 0;
    yield this.#builder.take();
    this.#builder.shrink();
  }
}
