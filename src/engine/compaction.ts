/**
 * Shortening the log: what later changes have replaced leaves it.
 *
 * A change may go when what beats it stands later in the log, or when nobody who may still ask
 * for a delta could miss it. The merged rows tell which, and once a change has been beaten it
 * stays so. That is why a step first reads and judges beside the writers, and holds them up
 * only for the write, of records that are still as they were read.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { KVEntry, KVReader, KVTransaction } from '../storage/kv-store.ts';
import type { WireChange, WireChangeSet } from '../wire/schemas.ts';
import { pkIdentity } from '../wire/values.ts';
import type { Catalog } from './catalog.ts';
import type { Head } from './head.ts';
import { logKeyToPosition, logRange, rowKey } from './keys.ts';
import { authorOf, decodeLogRecord, encodeLogRecord, type LogRecord } from './log-record.ts';
import { bytesToText, decodeRow, type Row } from './row.ts';

/** A step reads about so much: what a writer waits for, and what is in memory, stays small. */
const STEP_RECORDS_MAX = 250;
const STEP_CHANGES_MAX = 1000;
const STEP_BYTES_MAX = 1024 * 1024;

export interface CompactionScope {
  /** What stands after it is left alone. */
  upTo: HlcText;
  /**
   * The horizon when the pass began. A deletion that had been forgotten by then has nothing left
   * to delete: this pass meets what it beat first.
   */
  horizon: HlcText;
}

/** What one step found. */
export interface CompactionPlan {
  /** Where the next step goes on; `undefined` when the scope has been read to its end. */
  next: HlcText | undefined;
  /** Records of which something can go. */
  replacements: Replacement[];
  /** Changes of which neither the rows nor the horizon tell what became: they are left. */
  unexplained: number;
}

interface Replacement {
  key: Uint8Array;
  /** The record as it was read. */
  bytes: Uint8Array;
  /** What stays of it, if anything does. */
  rest: Buffer | undefined;
  changesGone: number;
}

type Fate = 'stays' | 'goes' | 'unexplained';

/** @param after where the last step ended */
export async function planCompaction(
  reader: KVReader,
  catalog: Catalog,
  after: HlcText,
  scope: CompactionScope,
): Promise<CompactionPlan> {
  const { entries, next } = await readStep(reader, after, scope.upTo);
  const sets = entries.map(([key, bytes]) => {
    const record = decodeLogRecord(logKeyToPosition(key), bytes);
    return { key, bytes, record, changeSet: JSON.parse(bytesToText(record.json)) as WireChangeSet };
  });
  const rows = await readRowsOf(
    reader,
    catalog,
    sets.flatMap(({ changeSet }) => changeSet.changes),
  );
  const replacements: Replacement[] = [];
  let unexplained = 0;
  for (const { key, bytes, record, changeSet } of sets) {
    const changes = changeSet.changes.filter((change) => {
      const fate = judge(change, record.position, rows.get(change), scope.horizon);
      if (fate === 'unexplained') unexplained++;
      return fate !== 'goes';
    });
    const changesGone = changeSet.changes.length - changes.length;
    if (changesGone === 0) continue;
    const rest = encodeRest(record, { ...changeSet, changes });
    replacements.push({ key, bytes, rest, changesGone });
  }
  return { next, replacements, unexplained };
}

async function readStep(
  reader: KVReader,
  after: HlcText,
  upTo: HlcText,
): Promise<{ entries: KVEntry[]; next: HlcText | undefined }> {
  const entries: KVEntry[] = [];
  let changes = 0;
  let bytes = 0;
  for await (const read of reader.iterate({ ...logRange(after), limit: STEP_RECORDS_MAX })) {
    for (const entry of read) {
      const position = logKeyToPosition(entry[0]);
      if (compareHlc(position, upTo) > 0) return { entries, next: undefined };
      entries.push(entry);
      changes += decodeLogRecord(position, entry[1]).changeCount;
      bytes += entry[1].length;
      if (changes >= STEP_CHANGES_MAX || bytes >= STEP_BYTES_MAX)
        return { entries, next: position };
    }
  }
  const last = entries.at(-1);
  const isFull = entries.length === STEP_RECORDS_MAX;
  return { entries, next: isFull && last !== undefined ? logKeyToPosition(last[0]) : undefined };
}

/** The row of each change as it is merged; `'dropped'` where its table was dropped after it. */
type RowsOfChanges = Map<WireChange, Row | 'dropped' | undefined>;

async function readRowsOf(
  reader: KVReader,
  catalog: Catalog,
  changes: readonly WireChange[],
): Promise<RowsOfChanges> {
  const rows: RowsOfChanges = new Map();
  const indexes = new Map<string, number>();
  const keys: Buffer[] = [];
  const indexByChange = new Map<WireChange, number>();
  for (const change of changes) {
    const { schema, table, hlc, pk } = change;
    const place = catalog.timeline.resolve(schema, table, hlc);
    if (place === undefined) {
      rows.set(change, 'dropped');
      continue;
    }
    const live = catalog.liveTable(schema, place.table);
    if (live === undefined) continue;
    const key = rowKey(live.id, pkIdentity(pk));
    const text = key.toString('latin1');
    const index = indexes.get(text) ?? keys.push(key) - 1;
    indexes.set(text, index);
    indexByChange.set(change, index);
  }
  const values = keys.length === 0 ? [] : await reader.getMany(keys);
  const decoded = values.map((bytes) => (bytes === undefined ? undefined : decodeRow(bytes)));
  for (const [change, index] of indexByChange) rows.set(change, decoded[index]);
  return rows;
}

function judge(
  change: WireChange,
  position: HlcText,
  row: Row | 'dropped' | undefined,
  horizon: HlcText,
): Fate {
  if (row === 'dropped') return 'goes';
  const { hlc } = change;
  const tombstone = row?.tombstone;
  const stored =
    change.type === 'delete' ? tombstone : row?.cells.get(JSON.stringify(change.column));
  const order = stored === undefined ? -1 : compareHlc(stored.hlc, hlc);
  if (order > 0) return 'goes';
  const deletedAt = tombstone?.position;
  if (change.type === 'delete' && order === 0) {
    // It has expired, or it was told once more later on.
    if (deletedAt === undefined) return compareHlc(position, horizon) <= 0 ? 'goes' : 'stays';
    return compareHlc(deletedAt, position) > 0 ? 'goes' : 'stays';
  }
  if (order === 0) return 'stays';
  // A cell that a deletion took away, and the deletion is told after it.
  if (change.type === 'column' && deletedAt && compareHlc(deletedAt, position) >= 0) return 'goes';
  // Of a deletion that has expired: who lies before it gets no delta, and who begins from nothing
  // never had the row.
  return compareHlc(position, horizon) <= 0 ? 'goes' : 'unexplained';
}

function encodeRest(record: LogRecord, changeSet: WireChangeSet): Buffer | undefined {
  const { changes, schemaMigrations } = changeSet;
  const hlcs = [...changes, ...schemaMigrations].map(({ hlc }) => hlc);
  if (hlcs.length === 0) return undefined;
  const json = JSON.stringify(changeSet);
  const author = authorOf(hlcs);
  return encodeLogRecord({ author, changeCount: hlcs.length, stale: record.stale, json });
}

/** Carries out a step. @returns the head after it, and how many changes have gone */
export async function replaceRecords(
  transaction: KVTransaction,
  head: Head,
  replacements: readonly Replacement[],
): Promise<{ head: Head; changesGone: number }> {
  const present = await transaction.getMany(replacements.map(({ key }) => key));
  let { logLength } = head;
  let changesGone = 0;
  for (const [i, replacement] of replacements.entries()) {
    const bytes = present[i];
    // Another process shortens the same log.
    if (bytes === undefined || Buffer.compare(bytes, replacement.bytes) !== 0) continue;
    const { key, rest } = replacement;
    changesGone += replacement.changesGone;
    if (rest !== undefined) transaction.put(key, rest);
    else {
      transaction.delete(key);
      logLength--;
    }
  }
  const changesLogged = Math.max(0, (head.changesLogged ?? 0) - changesGone);
  return { head: { ...head, logLength, changesLogged }, changesGone };
}
