/** Finds the DDL that has made a change void, for those who decide whether it may be told. */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireChange, WireMigration } from '../../protocol/schemas.ts';
import { newestOf, toWireMigration } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';
import { bearerOf } from './table-names.ts';

/**
 * @param by see `voidedBy`
 * @returns as it was sent; a bare drop, where it is not kept any more; `undefined` if the table had
 *   several names, since it is not known then under which it was dropped
 */
export function voidingDdl(
  catalog: CatalogView,
  { schema, table, hlc }: WireChange,
  by: HlcText,
): WireMigration | undefined {
  const names = new Set([table]);
  const bearer = bearerOf(catalog, schema, table, hlc);
  if (typeof bearer !== 'string') {
    for (const name of catalog.namesOf(bearer.id)) names.add(name.table);
  }
  for (const name of names) {
    for (const slot of catalog.slotsOf(schema, name)) {
      if (slot.hlc === by || newestOf(slot) === by) return toWireMigration(slot);
    }
  }
  if (names.size > 1) return undefined;
  const ddl = `DROP TABLE "${table.replaceAll('"', '""')}"`;
  return { type: 'drop_table', schema, table, ddl, hlc: by, schemaVersion: 1 };
}
