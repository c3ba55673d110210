/** Finds the DDL that stands where other DDL has come to nothing, for those who decide whether it may be told. */

import { compareHlc } from '../../clock/hlc.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import {
  migrationSlot,
  newestOf,
  type Slot,
  supersededSlot,
  toWireMigration,
} from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';

/** @returns as it was sent; `undefined` if it is not known what stands there */
export function standingDdl(
  catalog: CatalogView,
  migration: WireMigration,
): WireMigration | undefined {
  const { schema, table, hlc } = migration;
  const superseded = catalog.slot(supersededSlot(migration));
  const slot = superseded ?? catalog.slot(migrationSlot(migration));
  if (slot !== undefined) return toWireMigration(slot);
  const isLaterDrop = (other: Slot) =>
    other.type === 'drop_table' && compareHlc(newestOf(other), hlc) >= 0;
  for (const other of catalog.slotsOf(schema, table)) {
    if (isLaterDrop(other)) return toWireMigration(other);
  }
  return undefined;
}
