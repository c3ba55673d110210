/**
 * Limits the size of a catalog: it is in memory while its database is open, and each DDL that
 * changes it copies it.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import {
  isLive,
  type NameRecord,
  type SlotRecord,
  type TableRecord,
} from '../records/table-record.ts';
import { nameBytes, slotBytes, tableBytes } from './catalog-memory.ts';

export interface CatalogSize {
  /** Live tables. */
  tables: number;
  /** Tables whose place another one has taken, and whose rows have yet to move there. */
  ended: number;
  /**
   * All names that were ever used. They are kept, to tell that a late change belongs to a dropped
   * table.
   */
  names: number;
  /** The bytes (UTF-8) of all stored DDL and its names, with a constant for each statement. */
  ddl: number;
  /** What it takes of the memory, see `catalog-memory.ts`. */
  heldBytes: number;
}

export interface CatalogLimits {
  /** Most live tables of a database. */
  tablesPerDatabase: number;
  /** Most bytes of DDL that are stored of a database. */
  ddlBytesPerDatabase: number;
}

export const UNLIMITED_CATALOG: CatalogLimits = {
  tablesPerDatabase: Number.POSITIVE_INFINITY,
  ddlBytesPerDatabase: Number.POSITIVE_INFINITY,
};

/** What a statement takes in addition to its text. */
const SLOT_BYTES = 512;
/** The limit for names, for each table that the limit for tables allows. */
const NAMES_A_TABLE = 10;
/** Rows of tables that have ended are moved beside the writers, who may be ahead by so many. */
const ENDED_MAX = 2000;

export function emptySize(): CatalogSize {
  return { tables: 0, ended: 0, names: 0, ddl: 0, heldBytes: 0 };
}

/** One more, or one less. */
type By = 1 | -1;

export function countTable(size: CatalogSize, table: TableRecord | undefined, by: By): void {
  if (table === undefined) return;
  if (isLive(table)) size.tables += by;
  if (table.into !== undefined) size.ended += by;
  size.heldBytes += by * tableBytes(table);
}

export function countName(size: CatalogSize, name: NameRecord | undefined, by: By): void {
  if (name === undefined) return;
  size.names += by;
  size.heldBytes += by * nameBytes(name);
}

export function countSlot(size: CatalogSize, slot: SlotRecord | undefined, by: By): void {
  if (slot === undefined) return;
  size.ddl += by * ddlIn(slot);
  size.heldBytes += by * slotBytes(slot);
}

/** What a statement counts in `limits.ddlBytesPerDatabase`. */
export function ddlIn({ schema, table, fromTable, ddl }: SlotRecord): number {
  let bytes = SLOT_BYTES;
  for (const text of [schema, table, fromTable, ddl]) bytes += bytesOf(text);
  return bytes;
}

/** A damaged record, which `verify` reports, may have anything there. */
function bytesOf(text: unknown): number {
  return typeof text === 'string' ? Buffer.byteLength(text) : 0;
}

/**
 * Refuses a batch that makes a catalog larger than the limits. A catalog may already exceed a limit
 * that was lowered: then batches that do not make it larger are accepted.
 * @throws SyncError TOO_LARGE
 */
export function refuseGrowth(
  before: CatalogSize,
  after: CatalogSize,
  { tablesPerDatabase, ddlBytesPerDatabase }: CatalogLimits,
): void {
  const refuse = (limit: LimitName, most: number, what: string): never => {
    throw new SyncError('TOO_LARGE', `more than ${limit} (${most}) ${what}`, { limit });
  };
  const grows = (part: keyof CatalogSize, most: number) =>
    after[part] > most && after[part] > before[part];
  if (grows('tables', tablesPerDatabase)) {
    refuse('limits.tablesPerDatabase', tablesPerDatabase, 'tables in one database: drop some');
  }
  if (grows('ended', ENDED_MAX)) {
    const message = `more than ${ENDED_MAX} tables were made again before their rows could be moved`;
    throw new SyncError('TOO_LARGE', message, { limit: 'limits.tablesPerDatabase' });
  }
  if (grows('names', NAMES_A_TABLE * tablesPerDatabase)) {
    const what = `tables in one database: ${NAMES_A_TABLE} times as many names have been used in it`;
    refuse('limits.tablesPerDatabase', tablesPerDatabase, what);
  }
  if (grows('ddl', ddlBytesPerDatabase)) {
    refuse('limits.ddlBytesPerDatabase', ddlBytesPerDatabase, 'bytes of DDL in one database');
  }
}
