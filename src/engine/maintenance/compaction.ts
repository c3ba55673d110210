/**
 * Compacts the log: removes changes that later ones have replaced.
 *
 * A change may be removed if a change that beats it comes later in the log, or if no reader that
 * may still ask for a delta needs it. The merged rows tell which. A change that was beaten stays
 * beaten, so a step reads and decides while writers go on; they wait only for its write, which
 * skips records that were changed since they were read.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { KVEntry, KVReader } from '../../storage/kv-store.ts';
import {
  authorsOf,
  decodeLogRecord,
  encodeLogRecord,
  type LogRecord,
  parseRecord,
} from '../log/log-record.ts';
import { RunWriter, tableIdsOf } from '../log/record-tables.ts';
import type { WriteTransaction } from '../merge/write-transaction.ts';
import { decodeHeldRow, type HeldRow, isToldAt } from '../records/held-rows.ts';
import { ddlKey, heldKey, logKeyToPosition, logRange, rowKey } from '../records/keys.ts';
import { decodeRow, type Row } from '../records/row.ts';
import { isLive, migrationSlot, supersededSlot } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';

/** What a step reads at most, about: so writers wait shortly, and little is in memory. */
const STEP_RECORDS_MAX = 250;
const STEP_CHANGES_MAX = 1000;
const STEP_BYTES_MAX = 1024 * 1024;

export interface CompactionScope {
  /** Records after it are left as they are. */
  upTo: HlcText;
  /**
   * The horizon when the pass began. A deletion that was forgotten by then has nothing left to
   * delete: the pass has removed what it beat before it comes to the deletion.
   */
  horizon: HlcText;
}

/** What one step found. */
export interface CompactionPlan {
  /** Where the next step begins; `undefined` at the end of the scope. */
  next: HlcText | undefined;
  /** Records that can lose changes. */
  replacements: Replacement[];
  /** The number of changes that neither the rows nor the horizon explain. They are kept. */
  unexplained: number;
}

interface Replacement {
  position: HlcText;
  key: Uint8Array;
  /** The record as it was read. */
  bytes: Uint8Array;
  /** What is kept of it; `undefined` if nothing is. */
  rest: Buffer | undefined;
  changesGone: number;
  /** Whether it held DDL, and none is kept. */
  losesDdl: boolean;
  /** Whether it loses a change that no later one in the log stands for. */
  forgets: boolean;
}

/** `forgotten`: it goes, and no later change in the log stands for it. */
type Fate = 'stays' | 'goes' | 'forgotten' | 'unexplained';

interface ReadRecord {
  key: Uint8Array;
  bytes: Uint8Array;
  record: LogRecord;
  changeSet: WireChangeSet;
  /** The number of the table of each change. */
  tableIds: readonly number[];
}

/** @param after where the last step ended */
export async function planCompaction(
  reader: KVReader,
  catalog: CatalogView,
  after: HlcText,
  scope: CompactionScope,
): Promise<CompactionPlan> {
  const { entries, next } = await readStep(reader, after, scope.upTo);
  const records = entries.map(([key, bytes]): ReadRecord => {
    const record = decodeLogRecord(logKeyToPosition(key), bytes);
    const tableIds = tableIdsOf(record.tables);
    return { key, bytes, record, changeSet: parseRecord(record), tableIds };
  });
  const told = records.filter(({ record }) => record.to !== undefined);
  const merged = records.filter(({ record }) => record.to === undefined);
  const rows = await readOf(reader, catalog, merged, rowKey, decodeRow);
  const held = await readOf(reader, catalog, told, heldKey, decodeHeldRow);
  const replacements: Replacement[] = [];
  let unexplained = 0;
  for (const read of records) {
    const { replacement, open } = compactRecord(read, catalog, rows, held, scope.horizon);
    unexplained += open;
    if (replacement !== undefined) replacements.push(replacement);
  }
  return { next, replacements, unexplained };
}

function compactRecord(
  { key, bytes, record, changeSet, tableIds }: ReadRecord,
  catalog: CatalogView,
  rows: RowsOfChanges,
  held: HeldOfChanges,
  horizon: HlcText,
): { replacement: Replacement | undefined; open: number } {
  const { position } = record;
  const fates: Fate[] = [];
  const stays = (fate: Fate): boolean => {
    fates.push(fate);
    return fate === 'stays' || fate === 'unexplained';
  };
  const tables = new RunWriter();
  const changes = changeSet.changes.filter((change, i) => {
    const isKept = stays(
      record.to === undefined
        ? judge(change, position, rows.get(change), horizon)
        : judgeTold(change, position, record.to, held.get(change)),
    );
    if (isKept) tables.add(tableIds[i] ?? 0);
    return isKept;
  });
  const schemaMigrations = changeSet.schemaMigrations.filter((migration) =>
    stays(judgeMigration(migration, position, catalog, horizon)),
  );
  const open = fates.filter((fate) => fate === 'unexplained').length;
  const changesGone = fates.length - changes.length - schemaMigrations.length;
  if (changesGone === 0) return { replacement: undefined, open };
  const left = { ...changeSet, changes, schemaMigrations };
  const rest = encodeRest(left, tables.toString(), record.to);
  const losesDdl = schemaMigrations.length < Math.min(1, changeSet.schemaMigrations.length);
  const forgets = fates.includes('forgotten');
  const replacement = { position, key, bytes, rest, changesGone, losesDdl, forgets };
  return { replacement, open };
}

async function readStep(
  reader: KVReader,
  after: HlcText,
  upTo: HlcText,
): Promise<{ entries: KVEntry[]; next: HlcText | undefined }> {
  const entries: KVEntry[] = [];
  let changes = 0;
  let bytes = 0;
  const range = { ...logRange(after, upTo), limit: STEP_RECORDS_MAX };
  for await (const read of reader.iterate(range)) {
    for (const entry of read) {
      const position = logKeyToPosition(entry[0]);
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

/** What is stored of the row of each change; `'gone'` if its table is not live. */
type OfChanges<Stored> = Map<WireChange, Stored | 'gone' | undefined>;
/** Merged rows. */
type RowsOfChanges = OfChanges<Row>;
type HeldOfChanges = OfChanges<HeldRow>;

async function readOf<Stored>(
  reader: KVReader,
  catalog: CatalogView,
  records: readonly ReadRecord[],
  keyOf: (tableId: number, identity: string) => Buffer,
  decode: (bytes: Uint8Array) => Stored,
): Promise<OfChanges<Stored>> {
  const rows: OfChanges<Stored> = new Map();
  const indexes = new Map<string, number>();
  const keys: Buffer[] = [];
  const indexByChange = new Map<WireChange, number>();
  for (const { changeSet, tableIds } of records) {
    for (const [i, change] of changeSet.changes.entries()) {
      const table = catalog.table(tableIds[i] ?? 0);
      if (table === undefined || !isLive(table)) {
        rows.set(change, 'gone');
        continue;
      }
      const key = keyOf(table.id, pkIdentity(change.pk));
      const text = key.toString('latin1');
      const index = indexes.get(text) ?? keys.push(key) - 1;
      indexes.set(text, index);
      indexByChange.set(change, index);
    }
  }
  const values = keys.length === 0 ? [] : await reader.getMany(keys);
  const decoded = values.map((bytes) => (bytes === undefined ? undefined : decode(bytes)));
  for (const [change, index] of indexByChange) rows.set(change, decoded[index]);
  return rows;
}

/**
 * A revert for one site is kept until the site gets a later one, or the stored row is newer.
 */
function judgeTold(
  change: WireChange,
  position: HlcText,
  to: SiteIdText,
  held: HeldRow | 'gone' | undefined,
): Fate {
  if (held === 'gone') return 'goes';
  return isToldAt(held, to, change, position) ? 'stays' : 'goes';
}

function judge(
  change: WireChange,
  position: HlcText,
  row: Row | 'gone' | undefined,
  horizon: HlcText,
): Fate {
  if (row === 'gone') return 'goes';
  const { hlc } = change;
  const tombstone = row?.tombstone;
  const stored =
    change.type === 'delete' ? tombstone : row?.cells.get(JSON.stringify(change.column));
  const order = stored === undefined ? -1 : compareHlc(stored.hlc, hlc);
  if (order > 0) return 'goes';
  const deletedAt = tombstone?.position;
  if (change.type === 'delete' && order === 0) {
    // The tombstone has expired, or the deletion was sent again at a later position.
    if (deletedAt === undefined) return compareHlc(position, horizon) <= 0 ? 'forgotten' : 'stays';
    return compareHlc(deletedAt, position) > 0 ? 'goes' : 'stays';
  }
  if (order === 0) return 'stays';
  // A deletion that comes after it in the log removed this cell.
  if (change.type === 'column' && deletedAt && compareHlc(deletedAt, position) >= 0) return 'goes';
  // An expired deletion may have removed it: a reader before the horizon gets no delta, and one
  // that begins from nothing never had the row.
  return compareHlc(position, horizon) <= 0 ? 'goes' : 'unexplained';
}

/**
 * A reader before a drop or rename still has the table, so that is kept even if its slot holds
 * later DDL.
 */
function judgeMigration(
  migration: WireMigration,
  position: HlcText,
  catalog: CatalogView,
  horizon: HlcText,
): Fate {
  const slot = catalog.slot(migrationSlot(migration));
  const isKept = slot !== undefined && slot.hlc === migration.hlc && !slot.aside;
  if (isKept || catalog.slot(supersededSlot(migration)) !== undefined) return 'stays';
  const { type } = migration;
  if (type !== 'drop_table' && type !== 'rename_table') return 'goes';
  return compareHlc(position, horizon) <= 0 ? 'forgotten' : 'stays';
}

function encodeRest(
  changeSet: WireChangeSet,
  tables: string,
  to: SiteIdText | undefined,
): Buffer | undefined {
  const { changes, schemaMigrations } = changeSet;
  const hlcs = [...changes, ...schemaMigrations].map(({ hlc }) => hlc);
  if (hlcs.length === 0) return undefined;
  const json = JSON.stringify(changeSet);
  return encodeLogRecord({ authors: authorsOf(hlcs), changeCount: hlcs.length, tables, to, json });
}

/** Writes what a step decided. @returns how many changes were removed */
export async function replaceRecords(
  { store, head }: WriteTransaction,
  replacements: readonly Replacement[],
): Promise<number> {
  const present = await store.getMany(replacements.map(({ key }) => key));
  let gone = 0;
  let forgets = false;
  for (const [i, replacement] of replacements.entries()) {
    const bytes = present[i];
    // Another process has compacted it meanwhile.
    if (bytes === undefined || Buffer.compare(bytes, replacement.bytes) !== 0) continue;
    const { position, key, rest, changesGone, losesDdl } = replacement;
    gone += changesGone;
    forgets ||= replacement.forgets;
    if (losesDdl) store.delete(ddlKey(position));
    if (rest !== undefined) store.put(key, rest);
    else {
      store.delete(key);
      head.logLength--;
    }
  }
  head.changesLogged = Math.max(0, head.changesLogged - gone);
  // Readers compare it after each page.
  if (forgets) head.forgets++;
  return gone;
}
