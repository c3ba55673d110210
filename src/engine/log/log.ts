/** Reading the log from a cursor: the one act behind every kind of delivery. */

import { compareHlc, HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import type { KVReader } from '../../storage/kv-store.ts';
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
  parseRecord,
} from './log-record.ts';
import { CurrentNames, parseRuns } from './record-tables.ts';

export interface LogReadOptions {
  /** What comes after it is read. */
  after: LogCursor;
  /** Whose own changes are left out. */
  reader?: SiteIdText | undefined;
  /** About so many bytes of JSON; one transaction may exceed it, since it isn't cut. */
  bytesMax: number;
  /** About so many changes and migrations; as above. */
  changesMax?: number;
  /** The longest records that there is memory for; any, if it is silent. */
  room?: RecordRoom | undefined;
  /** For what is read of the log beside the page. */
  inTurn?: InTurn;
}

/** Runs it once few others like it run. */
export type InTurn = <T>(read: () => Promise<T>) => Promise<T>;

/** In bytes of JSON, by what has to be done with them. */
export type RecordRoom = Readonly<Record<Exclude<DeliveredForm, 'none'>, number>>;

/** The first record of a page is longer than there is room for: nothing of it was copied or decoded. */
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
  /** The cursor for what follows: everything up to here has been looked at. */
  end: LogCursor;
  /** Whether there was more than the limits let in. */
  hasMore: boolean;
  /** The same as `end`, for a reader that comes back for more, to this node or another. */
  watermark: HlcText;
  /** What the tables in it have been called as well. */
  aliases: TableAliases;
  /** Who wrote what is in it, as `isAmongAuthors` reads them, and for whom alone some is: all others get the same page. */
  authors: ReadonlySet<string>;
}

/** Of JSON, keys and first lines included; and what ends a page has to be read as well. */
const STORED_BYTES_A_BYTE = 1.05;

/** What readers see: how far the log goes, and the catalog of that moment. They change as one. */
export interface LogState {
  /** The newest position. What stands after it is of another state, and is not looked at. */
  end: HlcText;
  catalog: Catalog;
}

/** Takes a change set, as JSON. What is copied at once is soon out of memory. */
export type TakeChangeSet = (json: Uint8Array) => void;

/** A page as it was read. */
export interface ReadPage {
  lastSent: HlcText | undefined;
  end: HlcText;
  hasMore: boolean;
  /**
   * DDL that stands behind the page, where names in it rely on that: without it a name could be that
   * of another table at the receiver.
   */
  ddlAhead: readonly WireMigration[];
  authors: ReadonlySet<string>;
}

/**
 * @param take gets the change sets of the page, in order
 * @throws LongRecord before anything was taken
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

/** When the newest change came to any of the live ones of these tables. */
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

/** All DDL in a stretch of the log, but a reader's own. */
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
  // One by one: each may be as long as a transaction, whose rows are nothing that is wanted here.
  for (const position of positions) {
    for (const migration of await readMigrations(store, position)) {
      if (hlcSite(migration.hlc) !== reader) migrations.push(migration);
    }
  }
  return migrations;
}

async function readMigrations(store: KVReader, position: HlcText): Promise<WireMigration[]> {
  const [value] = await store.getMany([logKey(position)]);
  return value === undefined ? [] : parseRecord(decodeStoredRecord(value)).schemaMigrations;
}
