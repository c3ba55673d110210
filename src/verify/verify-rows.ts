/**
 * Reads all rows and the list of deletions once. Checks each row by itself, against that list, and
 * against the log.
 */

import { compareHlc, type HlcText, isHlcText } from '../clock/hlc.ts';
import { readCounts } from '../engine/records/cell-counts.ts';
import { kindRange, rowKey, rowToTombstoneKey, tombstoneToRowKey } from '../engine/records/keys.ts';
import { isOfClock } from '../engine/records/position-clock.ts';
import { bytesToText, decodeRow, encodeRow, isExpired, type Row } from '../engine/records/row.ts';
import { encodeListedTombstone, SHORT_ROW_BYTES } from '../engine/records/row-set.ts';
import { isLive } from '../engine/records/table-record.ts';
import type { Catalog } from '../engine/tables/catalog.ts';
import { isBelowFloor } from '../engine/tables/table-names.ts';
import { pkIdentity } from '../protocol/values.ts';
import type { KVReader } from '../storage/kv-store.ts';
import {
  type Finding,
  finding,
  parseText,
  readByKey,
  showKey,
  type VerifyTally,
} from './findings.ts';
import { hashWritten, type LoggedHashes } from './logged-hashes.ts';
import type { Meta } from './verify-meta.ts';

/**
 * @param loggedHashes `undefined` if the log could not be read as a whole: then nothing can be
 * missed in it
 */
export async function* verifyRows(
  reader: KVReader,
  meta: Meta,
  loggedHashes: LoggedHashes | undefined,
  tally: VerifyTally,
): AsyncGenerator<Finding> {
  const cellsById = new Map<number, number>();
  const check = new RowCheck(meta, loggedHashes, cellsById);
  for await (const entries of reader.iterate(kindRange('r'))) {
    const rows = entries.map(([key, bytes]) => ({ key: Buffer.from(key), bytes }));
    const listed = await readByKey(
      reader,
      new Map(rows.map(({ key }) => [key.toString('latin1'), rowToTombstoneKey(key)])),
    );
    for (const { key, bytes } of rows) {
      if (meta.head !== undefined && bytes.length > (meta.head.longestRow ?? SHORT_ROW_BYTES)) {
        yield finding('META', 'm head', `says that no row is as long as ${showKey(key)}`);
      }
      const row = yield* readRow(key, bytes);
      tally.rows++;
      tally.done += row?.cells.size ?? 0;
      tally.cells += row?.cells.size ?? 0;
      if (row === undefined) continue;
      yield* check.place(key, row);
      yield* check.content(key, row);
      yield* verifyListed(key, row, listed.get(key.toString('latin1')));
    }
  }
  yield* verifyStatistics(reader, meta.catalog, cellsById);
  yield* verifyList(reader);
}

/** Checks only whether the content of rows is in the log, for a further share of the hashes. */
export async function* verifyLoggedHashes(
  reader: KVReader,
  meta: Meta,
  loggedHashes: LoggedHashes,
  tally: VerifyTally,
): AsyncGenerator<Finding> {
  const check = new RowCheck(meta, loggedHashes, new Map());
  for await (const entries of reader.iterate(kindRange('r'))) {
    for (const [key, bytes] of entries) {
      if (rowFault(bytes) !== undefined) continue;
      const row = decodeRow(bytes);
      tally.done += row.cells.size;
      yield* check.content(Buffer.from(key), row);
    }
  }
}

function* readRow(key: Buffer, bytes: Uint8Array): Generator<Finding, Row | undefined> {
  const fault = key.length < 5 ? 'has an invalid key' : rowFault(bytes);
  if (fault === undefined) return decodeRow(bytes);
  yield finding('ROW', showKey(key), fault);
  return undefined;
}

const LATER_THAN_CLOCKS = 'holds an HLC that is later than any clock can be';

function rowFault(bytes: Uint8Array): string | undefined {
  const row = decodeRow(bytes);
  const { tombstone, cells } = row;
  for (const [column, { hlc, value, pk }] of cells) {
    if (!isHlcText(hlc)) return 'holds a cell whose HLC cannot be read';
    if (!isOfClock(hlc)) return LATER_THAN_CLOCKS;
    if (typeof parseText(column) !== 'string') return 'holds a column whose name cannot be read';
    if (parseText(value) === undefined) return `holds a value that cannot be read, in ${column}`;
    if (!isPk(pk)) return 'holds a primary key that cannot be read';
  }
  if (tombstone !== undefined) {
    const { hlc, position, priorRow, pk } = tombstone;
    const isRead = isHlcText(hlc) && (position === undefined || isHlcText(position)) && isPk(pk);
    const isPriorRead = priorRow === undefined || Array.isArray(parseText(priorRow));
    if (!isRead || !isPriorRead) return 'holds a deletion that cannot be read';
    if (!isOfClock(hlc)) return LATER_THAN_CLOCKS;
  }
  return encodeRow(row) === bytesToText(bytes) ? undefined : 'is not encoded as a row';
}

function isPk(json: string): boolean {
  const pk = parseText(json);
  if (!Array.isArray(pk)) return false;
  try {
    pkIdentity(pk);
    return true;
  } catch {
    return false;
  }
}

class RowCheck {
  readonly #meta: Meta;
  readonly #loggedHashes: LoggedHashes | undefined;
  readonly #cellsById: Map<number, number>;

  /** @param cellsById gets the number of cells of each table */
  constructor(meta: Meta, loggedHashes: LoggedHashes | undefined, cellsById: Map<number, number>) {
    this.#meta = meta;
    this.#loggedHashes = loggedHashes;
    this.#cellsById = cellsById;
  }

  *place(key: Buffer, { cells, tombstone }: Row): Generator<Finding> {
    const { catalog } = this.#meta;
    const id = key.readUInt32BE(1);
    const table = catalog?.table(id);
    if (catalog !== undefined && table === undefined) {
      yield finding('ROW', showKey(key), `is of table ${id}, which does not exist`);
    }
    this.#cellsById.set(id, (this.#cellsById.get(id) ?? 0) + cells.size);
    const hlcs = [...cells.values(), ...(tombstone ? [tombstone] : [])].map(({ hlc }) => hlc);
    if (table && !table.unsettled && hlcs.some((hlc) => isBelowFloor(table, hlc))) {
      yield finding('BELOW_FLOOR', showKey(key), `is of a time before the drop of table ${id}`);
    }
    for (const pk of new Set(
      [...cells.values(), ...(tombstone ? [tombstone] : [])].map((it) => it.pk),
    )) {
      if (rowKey(id, pkIdentity(JSON.parse(pk))).equals(key)) continue;
      yield finding('ROW', showKey(key), `has another key than its primary key, ${pk}, needs`);
    }
    for (const [column, { hlc }] of cells) {
      if (tombstone === undefined || compareHlc(hlc, tombstone.hlc) > 0) continue;
      yield finding('ROW_ORDER', showKey(key), `${column} is older than the deletion of its row`);
    }
  }

  /**
   * Only for live tables: rows of others are logged when their name is used again, or when they
   * move.
   */
  *content(key: Buffer, { cells, tombstone }: Row): Generator<Finding> {
    const table = this.#meta.catalog?.table(key.readUInt32BE(1));
    if (table === undefined || !isLive(table)) return;
    for (const [column, { pk, hlc }] of cells) {
      if (this.#isLogged(pk, column, hlc)) continue;
      yield finding('NOT_LOGGED', showKey(key), `${column} of ${pk} is not in the log`);
    }
    if (tombstone === undefined || isExpired(tombstone)) return;
    const { pk, hlc } = tombstone;
    if (this.#isLogged(pk, '', hlc)) return;
    yield finding('NOT_LOGGED', showKey(key), `the deletion of ${pk} is not in the log`);
  }

  #isLogged(pk: string, column: string, hlc: HlcText): boolean {
    if (this.#loggedHashes === undefined) return true;
    const hash = hashWritten(JSON.parse(pk), column, hlc);
    return !this.#loggedHashes.isOfRound(hash) || this.#loggedHashes.has(hash);
  }
}

/** @param listed the entry of the row in the list of deletions */
function* verifyListed(key: Buffer, row: Row, listed: Uint8Array | undefined): Generator<Finding> {
  const { tombstone } = row;
  const expected =
    tombstone === undefined || isExpired(tombstone)
      ? undefined
      : encodeListedTombstone(tombstone, row.cells.size === 0);
  // `verifyList` finds entries of rows without a deletion.
  if (expected === undefined) return;
  if (listed === undefined) {
    yield finding('TOMBSTONE_LIST', showKey(key), 'is deleted, and not in the list of deletions');
  } else if (!expected.equals(listed)) {
    yield finding('TOMBSTONE_LIST', showKey(key), 'is deleted otherwise than the list says');
  }
}

/** Finds listed deletions of rows that have none. */
async function* verifyList(reader: KVReader): AsyncGenerator<Finding> {
  for await (const entries of reader.iterate(kindRange('d'))) {
    const keys = entries.map(([key]) => Buffer.from(key));
    const rows = await reader.getMany(keys.map(tombstoneToRowKey));
    for (const [i, key] of keys.entries()) {
      const bytes = rows[i];
      const tombstone = bytes && decodeRow(bytes).tombstone;
      if (tombstone !== undefined && !isExpired(tombstone)) continue;
      yield finding('TOMBSTONE_LIST', showKey(key), 'is listed, but its row is not deleted');
    }
  }
}

async function* verifyStatistics(
  reader: KVReader,
  catalog: Catalog | undefined,
  cellsById: ReadonlyMap<number, number>,
): AsyncGenerator<Finding> {
  const counts = await readCounts(reader);
  for (const { id } of catalog?.tables ?? []) {
    const [count, held] = [counts.get(id) ?? 0, cellsById.get(id) ?? 0];
    if (count === held) continue;
    yield finding('STATISTICS', `table ${id}`, `counts ${count} cells, and holds ${held}`);
  }
}
