/**
 * Decides which changes of the log compaction keeps. The stored rows, what sites hold, and the
 * catalog tell whether a later change stands for one.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireMigration } from '../../protocol/schemas.ts';
import { type HeldRow, isToldAt } from '../records/held-rows.ts';
import type { Row } from '../records/row.ts';
import { migrationSlot, supersededSlot } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';

/** `forgotten`: it goes, and no later change in the log stands for it. */
export type Fate = 'stays' | 'goes' | 'forgotten' | 'unexplained';

/**
 * A revert for one site is kept until the site gets a later one, or the stored row is newer.
 */
export function judgeTold(
  change: WireChange,
  position: HlcText,
  to: SiteIdText,
  held: HeldRow | 'gone' | undefined,
): Fate {
  if (held === 'gone') return 'goes';
  return isToldAt(held, to, change, position) ? 'stays' : 'goes';
}

/**
 * A revert for all floored sites is kept while what it says is stored: where something else is,
 * a later record has that, or a later revert. Readers from before the horizon have to start over.
 */
export function judgeToldToAll(
  change: WireChange,
  position: HlcText,
  row: Row | 'gone' | undefined,
  horizon: HlcText,
): Fate {
  if (row === 'gone') return 'goes';
  if (compareHlc(position, horizon) <= 0) return 'forgotten';
  const { hlc } = change;
  const isLater = (stored: { hlc: HlcText } | undefined) =>
    stored !== undefined && compareHlc(stored.hlc, hlc) > 0;
  if (isLater(row?.tombstone)) return 'goes';
  if (change.type === 'delete') return 'stays';
  const cell = row?.cells.get(JSON.stringify(change.column));
  const stored = cell === undefined ? null : JSON.parse(cell.value);
  if (isLater(cell)) return 'goes';
  return JSON.stringify(stored) === JSON.stringify(change.value) ? 'stays' : 'goes';
}

export function judge(
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
export function judgeMigration(
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
