/**
 * Reads and checks an export. It is known to be whole only once the last line has been read: until
 * then nothing of it may be served.
 */

import { createHash } from 'node:crypto';
import { Check } from 'typebox/value';
import { compareHlc } from '../../clock/hlc.ts';
import { hlcSite } from '../../clock/site-id.ts';
import { isOfClock } from '../../engine/records/position-clock.ts';
import { bytesToText } from '../../engine/records/row.ts';
import type { KVEntry } from '../../storage/kv-store.ts';
import {
  AnyHeaderSchema,
  damaged,
  EndSchema,
  EXPORT_FORMAT_VERSION,
  type ExportEnd,
  ExportFileError,
  type ExportHeader,
  HEADER_START,
  HeaderSchema,
} from './format.ts';
import { type ExportLine, isExportLine, type LineOf } from './line-schemas.ts';
import { lineToEntry } from './lines.ts';
import { splitLines, type TextLine } from './text-lines.ts';

export type ExportPart = { header: ExportHeader } | { line: ExportLine; entry: KVEntry };

/**
 * @param chunks NDJSON, uncompressed
 * @returns the last line
 * @throws ExportFileError
 */
export async function* readExport(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ExportPart, ExportEnd> {
  const hash = createHash('sha256');
  let header: ExportHeader | undefined;
  let end: ExportEnd | undefined;
  let last: Uint8Array = new Uint8Array();
  const missing = new Set(['head', 'site']);
  const counts = { lines: 0, transactions: 0, rows: 0 };
  let head: HeadLine | undefined;
  let changes = 0;
  for await (const text of splitLines(checkStart(chunks))) {
    if (end !== undefined) throw damaged(`line ${text.number} comes after the end`);
    const value = parseLine(text);
    if (header === undefined) {
      header = toHeader(value);
      yield { header };
    } else if (Check(EndSchema, value)) {
      checkEnd(value, { ...counts, sha256: hash.digest('hex') });
      end = value;
      continue;
    } else {
      const line = toExportLine(value, text.number, header);
      const entry = toEntry(line, text.number);
      if (Buffer.compare(entry[0], last) <= 0) {
        throw damaged(`line ${text.number} is not in order`);
      }
      last = entry[0];
      if (line.type === 'meta') missing.delete(line.name);
      if (line.type === 'meta' && line.name === 'head') head = line;
      if (line.type === 'transaction') {
        counts.transactions++;
        changes += changesIn(line);
      }
      if (line.type === 'row') counts.rows++;
      yield { line, entry };
    }
    counts.lines++;
    hash.update(text.bytes);
  }
  if (header === undefined) throw damaged('it is empty');
  if (end === undefined) throw damaged('its last line is missing: the file has been cut short');
  if (missing.size > 0) throw damaged(`its ${[...missing].join(' and ')} is missing`);
  checkHead(head?.value, { logLength: counts.transactions, changesLogged: changes });
  return end;
}

type HeadLine = Extract<LineOf<'meta'>, { name: 'head' }>;

function changesIn({ changeSet }: LineOf<'transaction'>): number {
  return changeSet.changes.length + (changeSet.schemaMigrations?.length ?? 0);
}

/** @param found what the log has */
function checkHead(
  head: HeadLine['value'] | undefined,
  found: Pick<HeadLine['value'], 'logLength' | 'changesLogged'>,
): void {
  for (const name of ['logLength', 'changesLogged'] as const) {
    if (head === undefined || head[name] === found[name]) continue;
    throw damaged(`its head says ${name} ${head[name]}, and its log has ${found[name]}`);
  }
}

function notOurs(): ExportFileError {
  return new ExportFileError('it is no export of sync-coordinator', { isDamaged: false });
}

function parseLine({ number, bytes, isEnded }: TextLine): unknown {
  if (!isEnded) {
    throw damaged(`line ${number} has no end: the file has been cut short, or is not an export`);
  }
  try {
    return JSON.parse(bytesToText(bytes));
  } catch (cause) {
    throw damaged(`line ${number} is not JSON`, cause);
  }
}

/** Refuses other files by their first bytes: they may have no end of a line. */
async function* checkStart(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let start = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (start.length < HEADER_START.length) {
      start = Buffer.concat([start, chunk.subarray(0, HEADER_START.length - start.length)]);
      refuseForeign(start);
    }
    yield chunk;
  }
}

/** Refuses bytes that are not the beginning of an export. */
function refuseForeign(bytes: Uint8Array): void {
  const start = bytesToText(bytes.subarray(0, HEADER_START.length));
  if (!HEADER_START.startsWith(start)) throw notOurs();
}

function toHeader(value: unknown): ExportHeader {
  if (!Check(AnyHeaderSchema, value)) throw notOurs();
  if (value.formatVersion > EXPORT_FORMAT_VERSION) {
    throw new ExportFileError(
      `it is of format version ${value.formatVersion}, and this program reads ` +
        `${EXPORT_FORMAT_VERSION}: import it with a newer sync-coordinator`,
      { isDamaged: false },
    );
  }
  if (value.formatVersion < EXPORT_FORMAT_VERSION) {
    throw new ExportFileError(
      `it is of format version ${value.formatVersion}, and this program reads ` +
        `${EXPORT_FORMAT_VERSION}: it is of a version before the first release`,
      { isDamaged: false },
    );
  }
  if (!Check(HeaderSchema, value)) throw damaged('line 1 is not a valid header');
  if (hlcSite(value.position) !== value.siteId) {
    throw damaged('line 1 names a position of another coordinator');
  }
  // The clock goes on from it: no change of a client could be dated after that.
  if (!isOfClock(value.position)) {
    throw damaged('line 1 names a position that is later than any clock can be');
  }
  return value;
}

/** Checks that positions and site id fit the header: the import relies on that. */
function toExportLine(value: unknown, number: number, header: ExportHeader): ExportLine {
  if (!isExportLine(value)) throw damaged(`line ${number} is not a valid line of an export`);
  const isFitting =
    value.type === 'transaction'
      ? compareHlc(value.changeSet.hlc, header.position) <= 0
      : value.type !== 'meta' ||
        ((value.name !== 'head' || value.value.position === header.position) &&
          (value.name !== 'horizon' || compareHlc(value.value, header.position) <= 0) &&
          (value.name !== 'site' || value.value === header.siteId));
  if (!isFitting) throw damaged(`line ${number} does not fit line 1`);
  return value;
}

function toEntry(line: ExportLine, number: number): KVEntry {
  try {
    return lineToEntry(line);
  } catch (cause) {
    throw damaged(`line ${number} cannot be read`, cause);
  }
}

/** @param found the counts and checksum of the lines before it */
function checkEnd(end: ExportEnd, found: Omit<ExportEnd, 'type'>): void {
  for (const unit of ['lines', 'transactions', 'rows'] as const) {
    if (end[unit] === found[unit]) continue;
    throw damaged(
      `line ${found.lines + 1} counts ${end[unit]} ${unit} before it, and there are ${found[unit]}`,
    );
  }
  if (end.sha256 !== found.sha256) {
    throw damaged('its lines do not have the checksum that the last one names');
  }
}
