/**
 * Tells what comes too late to have an effect, from tables and names alone. So DDL is judged as before
 * when it comes again, also if its slot has been removed.
 */

import { compareHlc } from '../../clock/hlc.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import { isOfIndex } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';
import { pastUpTo } from './past-leads.ts';
import { bearerOf, isBelowFloor } from './table-names.ts';

/**
 * Whether DDL of a table is older than a drop of the table, or is that drop. Of a rename: whether its old
 * name had another table by then, or its table another name. That stays so whatever comes later.
 */
export function isDoneAwayWith(catalog: CatalogView, migration: WireMigration): boolean {
  const { type, schema, table, fromTable = table, hlc } = migration;
  if (isOfIndex(migration)) return false;
  const name = type === 'rename_table' ? fromTable : table;
  const bearer = bearerOf(catalog, schema, name, hlc);
  if (bearer === 'unknown') return false;
  if (bearer === 'void' || isBelowFloor(bearer, hlc)) return true;
  if (type === 'rename_table') return bearer.table !== name || compareHlc(hlc, bearer.since) < 0;
  return type === 'drop_table' && hasEndedName(catalog, migration);
}

/** Whether another table has had the name of a drop since the very time of the drop. */
function hasEndedName(catalog: CatalogView, { schema, table, hlc }: WireMigration): boolean {
  const name = catalog.name(schema, table);
  const [until, id = 0] = (name && pastUpTo(name, hlc)) ?? [];
  if (until !== hlc) return false;
  const before = catalog.table(id);
  return before === undefined || isBelowFloor(before, hlc);
}
