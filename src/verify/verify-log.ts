/**
 * Reads the whole log once. Checks each record, and each change in it against its row: the row must
 * have the change, or something newer that explains why it has not.
 */

import { Compile } from 'typebox/compile';
import { compareHlc, type HlcText, isHlcText } from '../clock/hlc.ts';
import { hlcSite } from '../clock/site-id.ts';
import { authorsOf, decodeLogRecord } from '../engine/log/log-record.ts';
import { tableIdsOf } from '../engine/log/record-tables.ts';
import { ddlKey, kindRange, logKey, logKeyToPosition, rowKey } from '../engine/records/keys.ts';
import { LoggedSchema } from '../engine/records/record-schemas.ts';
import { decodeRow, type Row } from '../engine/records/row.ts';
import { isLive, migrationSlot, supersededSlot } from '../engine/records/table-record.ts';
import type { Catalog } from '../engine/tables/catalog.ts';
import { bearerOf, isBelowFloor } from '../engine/tables/table-names.ts';
import type { WireChange, WireMigration } from '../protocol/schemas.ts';
import { pkIdentity } from '../protocol/values.ts';
import type { KVEntry, KVReader } from '../storage/kv-store.ts';
import {
  type Finding,
  finding,
  parseBytes,
  readByKey,
  showKey,
  type VerifyTally,
} from './findings.ts';
import { hashWritten, type LoggedHashes } from './logged-hashes.ts';
import { entriesOf } from './records.ts';
import type { Meta } from './verify-meta.ts';

const LOG_KEY_BYTES = 31;
const changeSetValidator = Compile(LoggedSchema);

interface LoggedChange {
  change: WireChange;
  /** The number of its table. */
  tableId: number;
  position: HlcText;
}

/** The result of reading the log. */
export interface LogSummary {
  /** Whether every record could be read: only then can something be found missing in the log. */
  isWhole: boolean;
}

export async function* verifyLog(
  reader: KVReader,
  meta: Meta,
  loggedHashes: LoggedHashes,
  tally: VerifyTally,
): AsyncGenerator<Finding, LogSummary> {
  const ddl = new LoggedDdl(meta.catalog);
  let changes = 0;
  let records = 0;
  let isWhole = true;
  let ownSeen = false;
  for await (const entries of reader.iterate(kindRange('l'))) {
    const logged: LoggedChange[] = [];
    for (const entry of entries) {
      records++;
      tally.logRecords++;
      const position = positionOf(entry);
      if (position === undefined) {
        yield finding('POSITION', showKey(entry[0]), 'is not the key of a transaction');
        continue;
      }
      // If an import replaced the site id, all older positions are before those of the new one.
      const isOwn = meta.site === undefined || hlcSite(position) === meta.site;
      if (!isOwn && ownSeen) yield finding('POSITION', position, 'is of another coordinator');
      ownSeen ||= isOwn;
      if (meta.head !== undefined && compareHlc(position, meta.head.position) > 0) {
        yield finding('POSITION', position, `is after the end of the log, ${meta.head.position}`);
      }
      const record = yield* verifyRecord(position, entry[1]);
      changes += record.changeCount;
      tally.changes += record.changeCount;
      tally.done += record.changeCount;
      isWhole &&= record.isReadable;
      // Reverts for single sites are not merged.
      for (const [i, change] of record.isForAll ? record.changes.entries() : []) {
        logged.push({ change, tableId: record.tableIds[i] ?? 0, position });
        const column = change.type === 'delete' ? '' : JSON.stringify(change.column);
        loggedHashes.add(hashWritten(change.pk, column, change.hlc));
      }
      for (const migration of record.migrations) yield* ddl.take(migration, position);
      if (record.isReadable) yield* verifyDdlKey(reader, position, record.migrations.length > 0);
    }
    if (meta.catalog !== undefined) yield* verifyMerged(reader, meta, meta.catalog, logged);
  }
  const { logLength, changesLogged } = meta.head ?? {};
  if (logLength !== undefined && logLength !== records) {
    yield finding(
      'LOG_COUNT',
      'm head',
      `counts ${logLength} transactions, and there are ${records}`,
    );
  }
  if (changesLogged !== undefined && isWhole && changesLogged !== changes) {
    yield finding(
      'LOG_COUNT',
      'm head',
      `counts ${changesLogged} changes, and there are ${changes}`,
    );
  }
  if (isWhole) yield* ddl.missing();
  yield* verifyDdlKeys(reader);
  return { isWhole };
}

function positionOf([key]: KVEntry): HlcText | undefined {
  return key.length === LOG_KEY_BYTES ? logKeyToPosition(key) : undefined;
}

interface ReadRecord {
  isReadable: boolean;
  isForAll: boolean;
  changeCount: number;
  changes: WireChange[];
  tableIds: readonly number[];
  migrations: WireMigration[];
}

async function* verifyRecord(
  position: HlcText,
  bytes: Uint8Array,
): AsyncGenerator<Finding, ReadRecord> {
  const { authors, changeCount, tables, to, json } = decodeLogRecord(position, bytes);
  const isForAll = to === undefined;
  const nothing = { changeCount: 0, changes: [], tableIds: [], migrations: [] };
  const unreadable = { isReadable: false, isForAll, ...nothing };
  const value = parseBytes(json);
  if (!changeSetValidator.Check(value)) {
    yield finding('LOG_RECORD', position, 'cannot be read as a change set');
    return unreadable;
  }
  const changes: WireChange[] = value.changes;
  const migrations = (value.schemaMigrations ?? []) as WireMigration[];
  const hlcs = [...changes, ...migrations].map(({ hlc }) => hlc);
  if (value.hlc !== position) {
    yield finding('LOG_RECORD', position, `says that its position is ${value.hlc}`);
  }
  if (changeCount !== hlcs.length) {
    const what = `counts ${changeCount} changes, and holds ${hlcs.length}`;
    yield finding('LOG_RECORD', position, what);
  }
  if (authors !== authorsOf(hlcs)) {
    yield finding('LOG_RECORD', position, `names ${authors} as authors, which they aren't`);
  }
  const tableIds = tableIdsOf(tables);
  if (tableIds.length !== changes.length) {
    const what = `names tables of ${tableIds.length} changes, and holds ${changes.length}`;
    yield finding('LOG_RECORD', position, what);
  }
  try {
    for (const { pk } of changes) pkIdentity(pk);
  } catch {
    yield finding('LOG_RECORD', position, 'holds a primary key that cannot be read');
    return unreadable;
  }
  return { isReadable: true, isForAll, changeCount: hlcs.length, changes, tableIds, migrations };
}

/** Rows by their keys as text. The check of the rows reports `'unreadable'` ones. */
type Rows = Map<string, Row | 'unreadable' | undefined>;

async function readRows(reader: KVReader, keys: Iterable<Buffer>): Promise<Rows> {
  const byText = new Map([...keys].map((key) => [key.toString('latin1'), key] as const));
  const rows: Rows = new Map();
  for (const [text, bytes] of await readByKey(reader, byText)) {
    rows.set(text, bytes && readRow(bytes));
  }
  return rows;
}

function readRow(bytes: Uint8Array): Row | 'unreadable' {
  const row = decodeRow(bytes);
  const hlcs = [...row.cells.values(), ...(row.tombstone ? [row.tombstone] : [])];
  return hlcs.every(({ hlc }) => isHlcText(hlc)) ? row : 'unreadable';
}

async function* verifyMerged(
  reader: KVReader,
  meta: Meta,
  catalog: Catalog,
  logged: readonly LoggedChange[],
): AsyncGenerator<Finding> {
  const placed: (LoggedChange & { key: Buffer })[] = [];
  for (const it of logged) {
    const { change, tableId, position } = it;
    if (meta.head !== undefined && tableId >= meta.head.nextTable) {
      yield finding('LOG_RECORD', position, `names table ${tableId}, which was not given yet`);
    }
    const table = catalog.table(tableId);
    // Changes of a table that is not live are not sent, and need not be stored.
    if (table === undefined || !isLive(table)) continue;
    placed.push({ ...it, key: rowKey(tableId, pkIdentity(change.pk)) });
    const isSameName = table.table === change.table && table.schema === change.schema;
    if (isSameName || compareHlc(table.changed, position) > 0) continue;
    yield finding('LOG_RECORD', position, `names table ${tableId} by another name than it has`);
  }
  const rows = await readRows(
    reader,
    placed.map(({ key }) => key),
  );
  for (const { change, position, key } of placed) {
    const row = rows.get(key.toString('latin1'));
    if (row === 'unreadable') continue;
    if (!isExplained(change, position, row, meta.horizon)) {
      yield finding('NOT_MERGED', show(change), `was written at ${position}, and its row has less`);
    } else if (row !== undefined && isOtherValue(change, row)) {
      yield finding('CELL_DIFFERS', show(change), `is not what was written at ${position}`);
    }
  }
}

/** Whether the row has a change, or something that beat it. */
function isExplained(
  change: WireChange,
  position: HlcText,
  row: Row | undefined,
  horizon: HlcText,
): boolean {
  if (row === undefined) return false;
  const { hlc } = change;
  const { tombstone, cells } = row;
  if (tombstone !== undefined && compareHlc(tombstone.hlc, hlc) >= 0) return true;
  if (change.type === 'delete') return false;
  const cell = cells.get(JSON.stringify(change.column));
  if (cell !== undefined && compareHlc(cell.hlc, hlc) >= 0) return true;
  // Without resurrection a deletion removes newer cells, too.
  return tombstone !== undefined && compareHlc(tombstone.position ?? horizon, position) >= 0;
}

function isOtherValue(change: WireChange, row: Row): boolean {
  if (change.type === 'delete') return false;
  const cell = row.cells.get(JSON.stringify(change.column));
  return cell?.hlc === change.hlc && cell.value !== JSON.stringify(change.value);
}

function show(change: WireChange): string {
  const { schema, table, pk } = change;
  const column = change.type === 'delete' ? 'deletion' : JSON.stringify(change.column);
  return `${JSON.stringify(schema)}.${JSON.stringify(table)} ${JSON.stringify(pk)} ${column}`;
}

/** Compares the DDL in the log with the catalog. */
class LoggedDdl {
  readonly #catalog: Catalog | undefined;
  /** Slots whose migration is in the log. */
  readonly #seen = new Set<string>();

  constructor(catalog: Catalog | undefined) {
    this.#catalog = catalog;
  }

  /**
   * DDL that a later drop has made useless is not in the catalog, and may still be in the log. DDL
   * that a rename relies on is in the catalog as superseded: its slot may hold DDL with a lesser
   * HLC that came later.
   */
  *take(migration: WireMigration, position: HlcText): Generator<Finding> {
    if (this.#catalog === undefined) return;
    const superseded = supersededSlot(migration);
    const isSuperseded = this.#catalog.slot(superseded) !== undefined;
    if (isSuperseded) this.#seen.add(superseded);
    const slot = migrationSlot(migration);
    const known = this.#catalog.slot(slot);
    if (known?.hlc === migration.hlc) this.#seen.add(slot);
    if (known === undefined || isSuperseded || isDroppedSince(this.#catalog, migration)) return;
    if (compareHlc(known.hlc, migration.hlc) < 0) {
      yield finding('MIGRATION', slot, `the one written at ${position} is not stored`);
    }
  }

  *missing(): Generator<Finding> {
    for (const [key, { aside }] of this.#catalog?.slots ?? []) {
      if (!aside && !this.#seen.has(key)) {
        yield finding('MIGRATION', key, 'is not in the log');
      }
    }
  }
}

/**
 * Whether a drop has made a migration useless: then it is not stored, and its slot may hold another
 * one.
 */
function isDroppedSince(catalog: Catalog, { schema, table, hlc }: WireMigration): boolean {
  const bearer = bearerOf(catalog, schema, table, hlc);
  return bearer === 'void' || (bearer !== 'unknown' && isBelowFloor(bearer, hlc));
}

/** Checks that the list of records with DDL has a record exactly if that holds DDL. */
async function* verifyDdlKey(
  reader: KVReader,
  position: HlcText,
  hasDdl: boolean,
): AsyncGenerator<Finding> {
  const [noted] = await reader.getMany([ddlKey(position)]);
  if ((noted !== undefined) === hasDdl) return;
  const what = hasDdl
    ? 'holds DDL, and is not in the list of such records'
    : 'holds no DDL, and is in the list of records that do';
  yield finding('LOG_RECORD', position, what);
}

/** Checks that all records in the list of those with DDL exist. */
async function* verifyDdlKeys(reader: KVReader): AsyncGenerator<Finding> {
  for await (const [key] of entriesOf(reader, kindRange('e'))) {
    const position = logKeyToPosition(key);
    const [record] = await reader.getMany([logKey(position)]);
    if (record === undefined)
      yield finding('LOG_RECORD', showKey(key), 'lists DDL of a transaction that is not there');
  }
}
