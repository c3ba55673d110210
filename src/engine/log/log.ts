/** Reads the log from a cursor, which is how everything is delivered. */

import { compareHlc, HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import type { KVReader } from '../../storage/kv-store.ts';
import type { InTurn } from '../records/in-turn.ts';
import { ddlRange, logKey, logKeyToPosition, logRange } from '../records/keys.ts';
import { isLive } from '../records/table-record.ts';
import type { Catalog } from '../tables/catalog.ts';
import type { TableAliases } from '../tables/table-aliases.ts';
import type { LogCursor } from './cursor.ts';
import {
  type DeliveredForm,
  decodeStoredRecord,
  deliverable,
  deliveredForm,
  migrationsFor,
  parseRecord,
} from './log-record.ts';
import { CurrentNames, parseRuns } from './record-tables.ts';

export interface LogReadOptions {
  /** The log after it is read. */
  after: LogCursor;
  /** Its own changes are left out. */
  reader?: SiteIdText | undefined;
  /**
   * The limit of a page in bytes of JSON. A single transaction may exceed it, since it isn't cut.
   */
  bytesMax: number;
  /** The same in changes and migrations. */
  changesMax?: number;
  /** The length of the longest record that there is memory for. Default: no limit. */
  room?: RecordRoom | undefined;
  /** Limits how many reads beside that of the page run at once. */
  inTurn?: InTurn;
}

/** In bytes of JSON, by the form in which a record is delivered. */
export type RecordRoom = Readonly<Record<Exclude<DeliveredForm, 'none'>, number>>;

/**
 * The first record of a page is longer than there is room for. It has been neither copied nor
 * parsed.
 */
export class LongRecord extends Error {
  readonly jsonBytes: number;
  readonly form: keyof RecordRoom;

  constructor(jsonBytes: number, form: keyof RecordRoom) {
    super(`a record of ${jsonBytes} bytes is longer than there is room for`);
    this.jsonBytes = jsonBytes;
    this.form = form;
  }
}

/** How far a page of the log goes. */
export interface LogPage {
  /** The position of the last change set in it. */
  lastSent: HlcText | undefined;
  /** The cursor for the next page: all up to here has been read. */
  end: LogCursor;
  /** Whether the limits left something out. */
  hasMore: boolean;
  /** `end` as text, for a reader that asks for the next page at this node or another. */
  watermark: HlcText;
  /** Former names of tables. */
  aliases: TableAliases;
  /**
   * Authors of its records (see `isAmongAuthors`), and sites that some are only for. All other
   * readers get the same page.
   */
  authors: ReadonlySet<string>;
}

/**
 * Bytes read from the store for each byte of JSON: keys, first lines, and the record that ends the
 * page.
 */
const STORED_BYTES_A_BYTE = 1.05;

/** What readers see: the end of the log, and the catalog of that moment, which change together. */
export interface LogState {
  /** The newest position. Records after it belong to a later state, and are not read. */
  end: HlcText;
  catalog: Catalog;
}

/**
 * Takes a change set, as JSON. The bytes are part of a larger buffer: copy them rather than keep
 * them.
 */
export type TakeChangeSet = (json: Uint8Array) => void;

/** A page, before it is checked against what was forgotten. */
export interface ReadPage {
  lastSent: HlcText | undefined;
  end: HlcText;
  hasMore: boolean;
  /**
   * DDL that comes after the page, if names in the page rely on it: without it the receiver could
   * take a name for another table.
   */
  ddlAhead: readonly WireMigration[];
  authors: ReadonlySet<string>;
}

/**
 * @param take gets the change sets of the page, in order
 * @throws LongRecord before `take` was called
 */
export async function readLog(
  store: KVReader,
  { end, catalog }: LogState,
  options: LogReadOptions,
  take: TakeChangeSet,
): Promise<ReadPage> {
  const { reader, bytesMax, changesMax = Number.POSITIVE_INFINITY, room } = options;
  const { inTurn = (read) => read() } = options;
  const after = options.after.position;
  let lastSentKey: Uint8Array | undefined;
  let endKey: Uint8Array | undefined;
  let bytes = 0;
  let changes = 0;
  const names = new CurrentNames(catalog);
  const tablesSent = new Set<string>();
  let lastTables: string | undefined;
  const authors = new Set<string>();
  let lastAuthors: string | undefined;
  const page = async (hasMore: boolean): Promise<ReadPage> => {
    const lastSent = lastSentKey === undefined ? undefined : logKeyToPosition(lastSentKey);
    const readTo = endKey === undefined ? after : logKeyToPosition(endKey);
    if (!hasMore) return { lastSent, end: maxHlc(readTo, end), hasMore, ddlAhead: [], authors };
    const relies = compareHlc(newestChange(tablesSent, catalog), readTo) > 0;
    const ddlAhead = relies ? await inTurn(() => readDdl(store, readTo, end, reader)) : [];
    for (const { hlc } of ddlAhead) authors.add(hlcSite(hlc));
    return { lastSent, end: readTo, hasMore, ddlAhead, authors };
  };
  const range = { ...logRange(after, end), bytes: bytesMax * STORED_BYTES_A_BYTE };
  for await (const entries of store.iterate(range)) {
    for (const [key, value] of entries) {
      const record = decodeStoredRecord(value);
      const doNamesHold = names.hold(record.tables, () => logKeyToPosition(key));
      const form = deliveredForm(record, reader, doNamesHold);
      if (room !== undefined && form !== 'none' && record.json.length > room[form]) {
        if (lastSentKey !== undefined) return page(true);
        throw new LongRecord(record.json.length, form);
      }
      const json = deliverable(record, reader, catalog, doNamesHold);
      if (record.to !== undefined) authors.add(record.to);
      if (json !== undefined) {
        const full = bytes + json.length > bytesMax || changes + record.changeCount > changesMax;
        if (full && lastSentKey !== undefined) return page(true);
        bytes += json.length;
        changes += record.changeCount;
        if (record.tables !== lastTables) tablesSent.add(record.tables);
        lastTables = record.tables;
        if (record.authors !== lastAuthors) authors.add(record.authors);
        lastAuthors = record.authors;
        take(json);
        lastSentKey = key;
      }
      endKey = key;
    }
  }
  return page(false);
}

/** The position of the newest DDL of the live ones of these tables. */
function newestChange(tablesOfRecords: Iterable<string>, catalog: Catalog): HlcText {
  let newest = HLC_MIN;
  for (const tables of tablesOfRecords) {
    for (const { id } of parseRuns(tables)) {
      const table = catalog.table(id);
      if (table !== undefined && isLive(table)) newest = maxHlc(newest, table.changed);
    }
  }
  return newest;
}

/** All DDL in a range of the log, except the reader's own. */
async function readDdl(
  store: KVReader,
  after: HlcText,
  upTo: HlcText,
  reader: SiteIdText | undefined,
): Promise<WireMigration[]> {
  const positions: HlcText[] = [];
  for await (const entries of store.iterate(ddlRange(after, upTo))) {
    for (const [key] of entries) positions.push(logKeyToPosition(key));
  }
  const migrations: WireMigration[] = [];
  // One by one: each record may be a long transaction, of which only the DDL is needed.
  for (const position of positions) {
    const [value] = await store.getMany([logKey(position)]);
    if (value === undefined) continue;
    migrations.push(...migrationsFor(parseRecord(decodeStoredRecord(value)), reader));
  }
  return migrations;
}
