/**
 * Writes a database as lines of an export. Reads it once, with one array of entries in memory at a
 * time.
 */

import { createHash, type Hash } from 'node:crypto';
import { readCounts } from '../../engine/records/cell-counts.ts';
import { readHead } from '../../engine/records/head.ts';
import { isLogPinKey, SITE_KEY } from '../../engine/records/keys.ts';
import { bytesToText } from '../../engine/records/row.ts';
import { Catalog } from '../../engine/tables/catalog.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { KVEntry, KVReader } from '../../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY } from '../../storage/unfinished.ts';
import { showKey } from '../../verify/findings.ts';
import { CONTENT_RANGE, type TransferTally } from '../content.ts';
import {
  EXPORT_FORMAT,
  EXPORT_FORMAT_VERSION,
  type ExportEnd,
  type ExportHeader,
} from './format.ts';
import { isExportLine } from './line-schemas.ts';
import { entryToLine, lineToEntry } from './lines.ts';
import { LINE_BYTES_MAX } from './text-lines.ts';

export interface ExportContext {
  databaseId: string;
  exportedAt: Date;
  tally: TransferTally;
}

/**
 * @param view must not be written to meanwhile
 * @returns the last line
 * @throws SyncError STORE_DAMAGED for a record that could not be restored from its line;
 *   STORE_UNAVAILABLE if the database is itself incomplete
 */
export async function* exportLines(
  view: KVReader,
  { databaseId, exportedAt, tally }: ExportContext,
): AsyncGenerator<Buffer, ExportEnd> {
  const header = await readHeader(view, databaseId, exportedAt, tally);
  const counts = { lines: 1, transactions: 0, rows: 0 };
  const hash = createHash('sha256');
  yield toLine(header, hash);
  for await (const entries of view.iterate(CONTENT_RANGE)) {
    const lines = entries.filter(isExported).map((entry) => {
      const line = readableLine(entry);
      if (line.type === 'transaction') counts.transactions++;
      if (line.type === 'row') counts.rows++;
      return toLine(line, hash);
    });
    counts.lines += lines.length;
    tally.done += lines.length;
    yield Buffer.concat(lines);
  }
  const end: ExportEnd = { type: 'end', ...counts, sha256: hash.digest('hex') };
  yield Buffer.from(`${JSON.stringify(end)}\n`);
  return end;
}

/**
 * Log pins are not exported: they belong to readers of this log, such as the queue of a webhook.
 * Where an export is imported, they would never be renewed.
 */
function isExported([key]: KVEntry): boolean {
  return !isLogPinKey(key);
}

async function readHeader(
  view: KVReader,
  database: string,
  exportedAt: Date,
  tally: TransferTally,
): Promise<ExportHeader> {
  const [site, mark] = await view.getMany([SITE_KEY, UNFINISHED_KEY]);
  refuseUnfinished(mark);
  if (site === undefined) throw new Error('there is nothing in it yet');
  const siteId = bytesToText(site);
  const { position, logLength } = await readHead(view, siteId);
  const tables = [...(await Catalog.load(view)).tables].sort((a, b) => a.id - b.id);
  // An upper bound for the lines of rows, most of which have at least one cell.
  tally.total = logLength + tables.length;
  for (const cells of (await readCounts(view)).values()) tally.total += cells;
  return {
    type: 'header',
    format: EXPORT_FORMAT,
    formatVersion: EXPORT_FORMAT_VERSION,
    ...{ database, siteId, position, exportedAt: exportedAt.toISOString() },
    tables: tables.map(({ id, schema, table }) => ({ id, schema, table })),
  };
}

/** Makes a line, and checks that the record can be restored from it. */
function readableLine(entry: KVEntry): ReturnType<typeof checkedLine> {
  try {
    return checkedLine(entry);
  } catch (cause) {
    throw new SyncError(
      'STORE_DAMAGED',
      `it has an invalid record, so it cannot be exported: ${showKey(entry[0])}. ` +
        'Run `sync-coordinator verify`',
      { cause },
    );
  }
}

function checkedLine(entry: KVEntry) {
  const line = entryToLine(entry);
  if (!isExportLine(line)) throw new Error('it has no valid line');
  const again: unknown = JSON.parse(JSON.stringify(line));
  if (!isExportLine(again)) throw new Error('its line cannot be read');
  const [key, value] = lineToEntry(again);
  if (isSame(key, entry[0]) && isSame(value, entry[1])) return line;
  throw new Error('its line stands for another record');
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function toLine(value: unknown, hash: Hash): Buffer {
  const line = Buffer.from(`${JSON.stringify(value)}\n`);
  if (line.length > LINE_BYTES_MAX) {
    const what = `a record makes a line of ${line.length} bytes`;
    throw new SyncError('TOO_LARGE', `${what}, and an import takes ${LINE_BYTES_MAX}: use copy`);
  }
  hash.update(line);
  return line;
}
