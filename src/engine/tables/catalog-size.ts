/**
 * How much a catalog holds, and how much devices may make it hold: it is in memory while its database
 * is open, and every change of a table copies it.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { isLive, type SlotRecord, type TableRecord } from '../records/table-record.ts';

export interface CatalogSize {
  /** Tables that are live. A drop makes room for another. */
  tables: number;
  /** Names that anybody has spoken of. They stay, so that what arrives late is known to be of a table that is gone. */
  names: number;
  /** Characters of the DDL that is kept, and of the names in it, and what each statement takes beside. */
  ddl: number;
}

export interface CatalogLimits {
  /** Most live tables of a database. */
  tablesPerDatabase: number;
  /** Most bytes of DDL that are kept of a database. */
  ddlBytesPerDatabase: number;
}

export const UNLIMITED_CATALOG: CatalogLimits = {
  tablesPerDatabase: Number.POSITIVE_INFINITY,
  ddlBytesPerDatabase: Number.POSITIVE_INFINITY,
};

/** What a statement takes beside its text: one without any is not free. */
const SLOT_BYTES = 512;
/** For each table that there may be, so many names may have been dropped or renamed away. */
const NAMES_A_TABLE = 10;

export function emptySize(): CatalogSize {
  return { tables: 0, names: 0, ddl: 0 };
}

export function tablesIn(table: TableRecord | undefined): number {
  return table !== undefined && isLive(table) ? 1 : 0;
}

export function ddlIn(slot: SlotRecord | undefined): number {
  if (slot === undefined) return 0;
  // A record that is not what it should be is for others to name.
  const { schema = '', table = '', fromTable = '', ddl = '' }: Partial<SlotRecord> = slot;
  return SLOT_BYTES + schema.length + table.length + fromTable.length + ddl.length;
}

/**
 * Whether a batch makes more of a catalog than there may be. One that holds more already, from before there
 * was a limit, is no reason to refuse what adds nothing to it.
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
  if (grows('names', NAMES_A_TABLE * tablesPerDatabase)) {
    const what = `tables in one database: ${NAMES_A_TABLE} times as many names have been used in it`;
    refuse('limits.tablesPerDatabase', tablesPerDatabase, what);
  }
  if (grows('ddl', ddlBytesPerDatabase)) {
    refuse('limits.ddlBytesPerDatabase', ddlBytesPerDatabase, 'bytes of DDL in one database');
  }
}
