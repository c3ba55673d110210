/**
 * A log record: one transaction as it will be sent, with a first line for those who
 * deliver it:
 *
 *   author ⇥ changes ⇥ flags ⏎ {"siteId":…,"hlc":position,…}
 *
 * `author` is the site whose clock dated every change, or `*` for several; `changes`
 * counts changes and migrations; the flag `r` says that a change was written for a
 * table name that meant something else by the time it arrived.
 *
 * What was stored is what is sent, byte for byte. Only a reader whose own changes are
 * among others', or a table that was dropped or renamed since, makes it be parsed.
 */

import type { HlcText } from '../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../clock/site-id.ts';
import type { WireChangeSet } from '../wire/schemas.ts';
import type { ChangeListJson } from './change-json.ts';
import { bytesToText } from './row.ts';
import type { TableTimeline } from './table-timeline.ts';

/** In place of a record's author. */
export const SEVERAL_AUTHORS = '*';
const NEWLINE = 10;

/** As it stands in the store, where the key tells the position. */
export interface StoredRecord {
  author: SiteIdText | typeof SEVERAL_AUTHORS;
  /** Changes and migrations. */
  changeCount: number;
  /** Whether some change's table has to be looked up again. */
  stale: boolean;
  /** The change set as JSON. */
  json: Uint8Array;
}

export interface LogRecord extends StoredRecord {
  position: HlcText;
}

/** A change set that is yet to be put together. */
export interface DraftedRecord extends Omit<LogRecord, 'json' | 'changeCount'> {
  siteId: SiteIdText;
  transactionId: string;
  changes: ChangeListJson;
  /** JSON of each. */
  migrations: readonly string[];
}

export function encodeDraftedRecord(draft: DraftedRecord): Buffer {
  const { siteId, transactionId, position, changes, migrations } = draft;
  const line = firstLine(draft.author, changes.length + migrations.length, draft.stale);
  const before = `${line}{"siteId":"${siteId}","transactionId":${JSON.stringify(transactionId)},"hlc":"${position}","changes":[`;
  const after = `],"schemaMigrations":[${migrations.join(',')}]}`;
  return Buffer.from(before + changes.toString() + after);
}

export function encodeLogRecord(record: Omit<StoredRecord, 'json'> & { json: string }): Buffer {
  const { author, changeCount, stale, json } = record;
  return Buffer.from(`${firstLine(author, changeCount, stale)}${json}`);
}

function firstLine(author: LogRecord['author'], changeCount: number, stale: boolean): string {
  return `${author}\t${changeCount}\t${stale ? 'r' : ''}\n`;
}

/** The change set in a record's bytes. */
export function jsonOf(record: Uint8Array): Uint8Array {
  return record.subarray(record.indexOf(NEWLINE) + 1);
}

export function decodeLogRecord(position: HlcText, bytes: Uint8Array): LogRecord {
  return { position, ...decodeStoredRecord(bytes) };
}

export function decodeStoredRecord(bytes: Uint8Array): StoredRecord {
  const end = bytes.indexOf(NEWLINE);
  // No `split`, no array: catching up reads as many of these as it can.
  const line = bytesToText(bytes.subarray(0, end));
  const authorEnd = line.indexOf('\t');
  const countEnd = line.indexOf('\t', authorEnd + 1);
  return {
    author: line.slice(0, authorEnd),
    changeCount: Number(line.slice(authorEnd + 1, countEnd)),
    stale: line.includes('r', countEnd + 1),
    json: bytes.subarray(end + 1),
  };
}

/** The author of a set whose changes and migrations bear these HLCs. */
export function authorOf(hlcs: Iterable<HlcText>): SiteIdText | typeof SEVERAL_AUTHORS {
  let first: HlcText | undefined;
  for (const hlc of hlcs) {
    first ??= hlc;
    if (!isOfSameSite(hlc, first)) return SEVERAL_AUTHORS;
  }
  return first === undefined ? SEVERAL_AUTHORS : hlcSite(first);
}

/**
 * The change set as `reader` should get it, as JSON; `undefined` if nothing of it is
 * left: its own changes, and those of tables that have been dropped since, are left out,
 * and a renamed table goes by its new name.
 */
export function deliverable(
  record: StoredRecord,
  reader: SiteIdText | undefined,
  timeline: TableTimeline | undefined,
): Uint8Array | undefined {
  if (record.author === reader) return undefined;
  const filtered = reader !== undefined && record.author === SEVERAL_AUTHORS;
  if (!filtered && timeline === undefined) return record.json;
  const changeSet = JSON.parse(bytesToText(record.json)) as WireChangeSet;
  const theirs = (item: { hlc: HlcText }) => !filtered || hlcSite(item.hlc) !== reader;
  const changes = changeSet.changes.filter(theirs).flatMap((change) => {
    if (timeline === undefined) return [change];
    const place = timeline.resolve(change.schema, change.table, change.hlc);
    return place === undefined || place.hidden ? [] : [{ ...change, table: place.table }];
  });
  const schemaMigrations = changeSet.schemaMigrations.filter(theirs);
  if (changes.length === 0 && schemaMigrations.length === 0) return undefined;
  return Buffer.from(JSON.stringify({ ...changeSet, changes, schemaMigrations }));
}

/** A change set without changes, which only carries a position forward. */
export function carryPosition(siteId: SiteIdText, position: HlcText): Buffer {
  const empty: WireChangeSet = {
    siteId,
    transactionId: `position:${position}`,
    hlc: position,
    changes: [],
    schemaMigrations: [],
  };
  return Buffer.from(JSON.stringify(empty));
}
