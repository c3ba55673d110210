/**
 * Reads the log through once. Each record is checked by itself, and each change in it against its
 * row: what is stored there must be as new, or tell what became of the change.
 */

import { Compile } from 'typebox/compile';
import { compareHlc, type HlcText, isHlcText } from '../../clock/hlc.ts';
import { hlcSite } from '../../clock/site-id.ts';
import type { KVEntry, KVReader } from '../../storage/kv-store.ts';
import { ChangeSetSchema, type WireChange, type WireMigration } from '../../wire/schemas.ts';
import { pkIdentity } from '../../wire/values.ts';
import { type Catalog, migrationSlot } from '../catalog.ts';
import { kindRange, logKeyToPosition, rowKey } from '../keys.ts';
import { authorOf, decodeLogRecord } from '../log-record.ts';
import { decodeRow, type Row } from '../row.ts';
import { toBoundaries } from '../table-boundary.ts';
import { boundaryIdentity } from '../table-timeline.ts';
import {
  type Finding,
  finding,
  parseBytes,
  readByKey,
  showKey,
  type VerifyTally,
} from './findings.ts';
import type { Meta } from './verify-meta.ts';
import { hashWritten, type Witnesses } from './witnesses.ts';

const LOG_KEY_BYTES = 31;
const changeSetValidator = Compile(ChangeSetSchema);

interface LoggedChange {
  change: WireChange;
  position: HlcText;
}

/** What the log was found to hold. */
export interface LogSummary {
  /** Whether every record could be read: what isn't in it is missing then. */
  isWhole: boolean;
}

export async function* verifyLog(
  reader: KVReader,
  meta: Meta,
  witnesses: Witnesses,
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
      // A database that got another site id has its older positions before those of the new one.
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
      for (const change of record.changes) {
        logged.push({ change, position });
        const column = change.type === 'delete' ? '' : JSON.stringify(change.column);
        witnesses.add(hashWritten(change.pk, column, change.hlc));
      }
      for (const migration of record.migrations) yield* ddl.take(migration, position);
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
  return { isWhole };
}

function positionOf([key]: KVEntry): HlcText | undefined {
  return key.length === LOG_KEY_BYTES ? logKeyToPosition(key) : undefined;
}

interface ReadRecord {
  isReadable: boolean;
  changeCount: number;
  changes: WireChange[];
  migrations: WireMigration[];
}

async function* verifyRecord(
  position: HlcText,
  bytes: Uint8Array,
): AsyncGenerator<Finding, ReadRecord> {
  const { author, changeCount, json } = decodeLogRecord(position, bytes);
  const unreadable = { isReadable: false, changeCount: 0, changes: [], migrations: [] };
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
  if (author !== authorOf(hlcs)) {
    yield finding('LOG_RECORD', position, `names ${author} as author, which it isn't`);
  }
  try {
    for (const { pk } of changes) pkIdentity(pk);
  } catch {
    yield finding('LOG_RECORD', position, 'holds a primary key that cannot be read');
    return unreadable;
  }
  return { isReadable: true, changeCount: hlcs.length, changes, migrations };
}

/** Rows by their keys as text; `'unreadable'` is for the check of the rows to tell. */
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
  { horizon }: Meta,
  catalog: Catalog,
  logged: readonly LoggedChange[],
): AsyncGenerator<Finding> {
  const placed = logged.flatMap((it) => {
    const { schema, table, hlc, pk } = it.change;
    const place = catalog.timeline.resolve(schema, table, hlc);
    // Of a table that was dropped after it nothing is kept.
    if (place === undefined) return [];
    const live = catalog.liveTable(schema, place.table);
    return [{ ...it, key: live && rowKey(live.id, pkIdentity(pk)) }];
  });
  const rows = await readRows(
    reader,
    placed.flatMap(({ key }) => key ?? []),
  );
  const doubtful: LoggedChange[] = [];
  for (const { change, position, key } of placed) {
    const row = key && rows.get(key.toString('latin1'));
    if (row === 'unreadable') continue;
    if (!isExplained(change, position, row, horizon)) doubtful.push({ change, position });
    else if (row !== undefined && isOtherValue(change, row)) {
      yield finding('CELL_DIFFERS', show(change), `is not what was written at ${position}`);
    }
  }
  for (const { change, position } of doubtful) {
    if (await isElsewhere(reader, catalog, change, position, horizon)) continue;
    yield finding('NOT_MERGED', show(change), `was written at ${position}, and its row has less`);
  }
}

/** Whether the row tells what became of a change: it is there, or something beat it. */
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
  // Without resurrection a deletion takes away newer cells, too.
  return tombstone !== undefined && compareHlc(tombstone.position ?? horizon, position) >= 0;
}

function isOtherValue(change: WireChange, row: Row): boolean {
  if (change.type === 'delete') return false;
  const cell = row.cells.get(JSON.stringify(change.column));
  return cell?.hlc === change.hlc && cell.value !== JSON.stringify(change.value);
}

/**
 * Where devices changed tables without having heard of each other, what was written for a name may
 * have gone on under another one than a reader would find: any that it was ever renamed to. And
 * of a name that was ever dropped it depends on what was heard of first what a change became: it
 * is for the tables' counts to tell whether rows are missing there.
 */
async function isElsewhere(
  reader: KVReader,
  catalog: Catalog,
  change: WireChange,
  position: HlcText,
  horizon: HlcText,
): Promise<boolean> {
  const names = new Set([change.table]);
  for (const name of names) {
    for (const { schema, table, kind, renamedTo } of catalog.boundaries) {
      if (schema !== change.schema || table !== name) continue;
      if (kind === 'dropped') return true;
      if (renamedTo !== undefined) names.add(renamedTo);
    }
  }
  const isMerged = catalog.boundaries.some(
    ({ schema, renamedTo }) =>
      schema === change.schema && renamedTo !== undefined && names.has(renamedTo),
  );
  const keys = [...names].flatMap((name) => {
    const live = catalog.liveTable(change.schema, name);
    return live === undefined ? [] : [rowKey(live.id, pkIdentity(change.pk))];
  });
  for (const row of (await readRows(reader, keys)).values()) {
    if (row === 'unreadable' || isExplained(change, position, row, horizon)) return true;
    // Without resurrection: of two tables that became one, the other's deletion was the newer one.
    if (isMerged && row?.tombstone !== undefined) return true;
  }
  return false;
}

function show(change: WireChange): string {
  const { schema, table, pk } = change;
  const column = change.type === 'delete' ? 'deletion' : JSON.stringify(change.column);
  return `${JSON.stringify(schema)}.${JSON.stringify(table)} ${JSON.stringify(pk)} ${column}`;
}

/** Compares the DDL in the log with what is remembered of it. */
class LoggedDdl {
  readonly #catalog: Catalog | undefined;
  /** Slots whose newest migration stands in the log. */
  readonly #seen = new Set<string>();
  readonly #boundaries: ReadonlySet<string>;
  readonly #derived = new Set<string>();

  constructor(catalog: Catalog | undefined) {
    this.#catalog = catalog;
    this.#boundaries = new Set(catalog?.boundaries.map(boundaryIdentity));
  }

  *take(migration: WireMigration, position: HlcText): Generator<Finding> {
    if (this.#catalog === undefined) return;
    const slot = migrationSlot(migration);
    const known = this.#catalog.migrations.get(slot);
    if (known === undefined || compareHlc(known.hlc, migration.hlc) < 0) {
      yield finding('MIGRATION', slot, `the one written at ${position} is not remembered`);
    } else if (known.hlc === migration.hlc) this.#seen.add(slot);
    for (const boundary of toBoundaries(migration)) {
      const identity = boundaryIdentity(boundary);
      this.#derived.add(identity);
      if (this.#boundaries.has(identity)) continue;
      yield finding('MIGRATION', identity, `what was written at ${position} set no boundary`);
    }
  }

  *missing(): Generator<Finding> {
    for (const slot of this.#catalog?.migrations.keys() ?? []) {
      if (!this.#seen.has(slot)) yield finding('MIGRATION', slot, 'does not stand in the log');
    }
    for (const identity of this.#boundaries) {
      if (this.#derived.has(identity)) continue;
      yield finding('MIGRATION', identity, 'a boundary that no DDL in the log has set');
    }
  }
}
