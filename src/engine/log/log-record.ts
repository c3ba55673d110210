/**
 * A log record: one transaction as it will be sent, after a first line for delivery:
 *
 *   authors ⇥ changes ⇥ tables [⇥ to] ⏎ {"siteId":…,"hlc":position,…}
 *
 * `authors` are the sites whose clocks dated its changes, in order, joined with commas; `changes`
 * counts changes and migrations; for `tables` see `record-tables.ts`. With `to` it is a revert
 * for that site only: it holds what is stored, since a change of that site was refused.
 *
 * The stored JSON is sent byte for byte. It is parsed only for a reader that is one of several
 * authors, or if a table was dropped or renamed since. Then the reader's own changes and those of
 * tables that are not live are left out, and each change gets the current name of its table.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { ChangeListJson } from '../records/change-json.ts';
import { bytesToText } from '../records/row.ts';
import { isLive } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import { tableIdsOf } from './record-tables.ts';

const NEWLINE = 10;

/** A record in the store, without its position, which is in the key. */
export interface StoredRecord {
  /** Joined with commas. */
  authors: string;
  /** Changes and migrations. */
  changeCount: number;
  /** The tables of the changes, as runs. */
  tables: string;
  /** The only site that it is for; `undefined` if it is for all. */
  to?: SiteIdText | undefined;
  /** The change set as JSON. */
  json: Uint8Array;
}

export interface LogRecord extends StoredRecord {
  position: HlcText;
}

/** A record whose JSON is yet to be written. */
export interface DraftedRecord extends Omit<LogRecord, 'json' | 'changeCount'> {
  siteId: SiteIdText;
  transactionId: string;
  changes: ChangeListJson;
  /** Each as JSON. */
  migrations: readonly string[];
}

export function encodeDraftedRecord(draft: DraftedRecord): Buffer {
  const { siteId, transactionId, position, changes, migrations } = draft;
  const line = firstLine(draft, changes.length + migrations.length);
  const before = `${line}{"siteId":"${siteId}","transactionId":${JSON.stringify(transactionId)},"hlc":"${position}","changes":[`;
  const after = `],"schemaMigrations":[${migrations.join(',')}]}`;
  return changes.between(before, after);
}

export function encodeLogRecord(record: Omit<StoredRecord, 'json'> & { json: string }): Buffer {
  return Buffer.from(`${firstLine(record, record.changeCount)}${record.json}`);
}

function firstLine(
  { authors, tables, to }: Omit<StoredRecord, 'json' | 'changeCount'>,
  changeCount: number,
): string {
  const line = `${authors}\t${changeCount}\t${tables}`;
  return to === undefined ? `${line}\n` : `${line}\t${to}\n`;
}

/** The JSON of the change set in a record's bytes. */
export function jsonOf(record: Uint8Array): Uint8Array {
  return record.subarray(record.indexOf(NEWLINE) + 1);
}

export function decodeLogRecord(position: HlcText, bytes: Uint8Array): LogRecord {
  return { position, ...decodeStoredRecord(bytes) };
}

export function decodeStoredRecord(bytes: Uint8Array): StoredRecord {
  const end = bytes.indexOf(NEWLINE);
  // No `split`, which makes an array: catching up decodes very many records.
  const line = bytesToText(bytes.subarray(0, end));
  const authorsEnd = line.indexOf('\t');
  const countEnd = line.indexOf('\t', authorsEnd + 1);
  const tablesEnd = line.indexOf('\t', countEnd + 1);
  return {
    authors: line.slice(0, authorsEnd),
    changeCount: Number(line.slice(authorsEnd + 1, countEnd)),
    tables: line.slice(countEnd + 1, tablesEnd < 0 ? undefined : tablesEnd),
    to: tablesEnd < 0 ? undefined : line.slice(tablesEnd + 1),
    json: bytes.subarray(end + 1),
  };
}

/** The change set of a record. */
export function parseRecord({ json }: StoredRecord): WireChangeSet {
  return JSON.parse(bytesToText(json)) as WireChangeSet;
}

/** The authors of changes and migrations with these HLCs. */
export function authorsOf(hlcs: Iterable<HlcText>): string {
  const sites = new Set<SiteIdText>();
  for (const hlc of hlcs) sites.add(hlcSite(hlc));
  return joinAuthors(sites);
}

export function joinAuthors(sites: Iterable<SiteIdText>): string {
  return [...sites].sort().join(',');
}

export function isAmongAuthors(site: SiteIdText, authors: string): boolean {
  return authors.length === site.length ? authors === site : authors.split(',').includes(site);
}

/**
 * What a reader gets of a record: nothing, the stored bytes, or a rewritten copy, which costs far
 * more.
 */
export type DeliveredForm = 'none' | 'asStored' | 'rewritten';

/** @param doNamesHold see `CurrentNames` */
export function deliveredForm(
  { authors, to }: StoredRecord,
  reader: SiteIdText | undefined,
  doNamesHold: boolean,
): DeliveredForm {
  if (authors === reader || (to !== undefined && to !== reader)) return 'none';
  const isAuthor = reader !== undefined && isAmongAuthors(reader, authors);
  return isAuthor || !doNamesHold ? 'rewritten' : 'asStored';
}

/**
 * The change set as JSON, as one reader should get it, without its own changes and those of tables
 * that are not live; `undefined` if none are left.
 * @param catalog as new as the record, or newer
 * @param doNamesHold see `CurrentNames`
 */
export function deliverable(
  record: StoredRecord,
  reader: SiteIdText | undefined,
  catalog: CatalogView,
  doNamesHold: boolean,
): Uint8Array | undefined {
  const form = deliveredForm(record, reader, doNamesHold);
  if (form === 'none') return undefined;
  if (form === 'asStored') return record.json;
  const changeSet = parseRecord(record);
  const changes = namedChanges(changeSet, record.tables, catalog).filter(
    ({ hlc }) => hlcSite(hlc) !== reader,
  );
  const schemaMigrations = migrationsFor(changeSet, reader);
  if (changes.length === 0 && schemaMigrations.length === 0) return undefined;
  return Buffer.from(JSON.stringify({ ...changeSet, changes, schemaMigrations }));
}

/**
 * The DDL of a change set without the reader's own. A CREATE of the reader's in another site's
 * change set is sent: it took no effect when the reader said it, as a repetition, and is needed
 * behind the drop before it.
 */
export function migrationsFor(
  { siteId, schemaMigrations }: WireChangeSet,
  reader: SiteIdText | undefined,
): WireMigration[] {
  return schemaMigrations.filter(({ hlc }) => siteId !== reader || hlcSite(hlc) !== reader);
}

/** The changes of live tables, each with the current name of its table. */
function namedChanges(
  { changes }: WireChangeSet,
  tables: string,
  catalog: CatalogView,
): WireChange[] {
  const ids = tableIdsOf(tables);
  return changes.flatMap((change, i) => {
    const table = catalog.table(ids[i] ?? 0);
    return table !== undefined && isLive(table) ? [{ ...change, table: table.table }] : [];
  });
}

/**
 * A change set without changes, which only carries a position forward.
 * @param schemaMigrations DDL that the receiver needs for the change sets sent before
 */
export function carryPosition(
  siteId: SiteIdText,
  position: HlcText,
  schemaMigrations: readonly WireMigration[] = [],
): Buffer {
  const transactionId = `position:${position}`;
  const empty = { siteId, transactionId, hlc: position, changes: [], schemaMigrations };
  return Buffer.from(JSON.stringify(empty));
}
