/**
 * Changes of the coordinator's own, through which an app's server writes. They are dated when they
 * are merged, after all that is stored of their rows: the clock of a device may be ahead, and what
 * a server writes has to win.
 */

import { decodeHlc, encodeHlc, HLC_MAX, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { siteIdToText } from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { nextPosition } from '../records/position-clock.ts';
import type { Row } from '../records/row.ts';
import { isLive, type TableRecord } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';

/** The HLC of such a change until it is merged. It goes to the table that has its name then. */
export const UNDATED: HlcText = HLC_MAX;

/** The table and row of a change. */
export interface OwnTarget {
  /** `undefined` for an unknown name. */
  table: TableRecord | undefined;
  /** `undefined` if it is not stored. */
  row: Row | undefined;
}

/**
 * @param targets one for each change
 * @param position the position that the change set will have
 * @returns the dated change set, without deletions of rows that are not there
 * @throws SyncError MESSAGE_ERROR, for a table that was dropped
 */
export function dateOwn(
  changes: readonly WireChange[],
  targets: readonly OwnTarget[],
  catalog: CatalogView,
  position: HlcText,
): WireChangeSet {
  let newest = position;
  const kept: WireChange[] = [];
  const written = new Set<string>();
  for (const [i, change] of changes.entries()) {
    const { table, row } = targets[i] ?? {};
    if (table !== undefined && !isLive(table)) {
      const named = JSON.stringify(change.table);
      throw new SyncError('MESSAGE_ERROR', `changes[${i}].table: ${named} was dropped`);
    }
    const isThere = (row?.cells.size ?? 0) > 0 || written.has(rowOf(change));
    if (change.type === 'delete' && !isThere) continue;
    written.add(rowOf(change));
    kept.push(change);
    for (const hlc of metBy(change, { table, row }, catalog)) newest = maxHlc(newest, hlc);
  }
  const { siteId } = decodeHlc(position);
  const { wallTime, counter } = decodeHlc(newest === position ? position : nextPosition(newest, 0));
  const dated = (opSeq: number) => encodeHlc({ wallTime, counter, siteId, opSeq });
  return {
    siteId: siteIdToText(siteId),
    transactionId: `written:${position}`,
    hlc: dated(Math.max(0, kept.length - 1)),
    changes: kept.map((change, i) => ({ ...change, hlc: dated(i) })),
    schemaMigrations: [],
  };
}

function rowOf({ schema, table, pk }: WireChange): string {
  return JSON.stringify([schema, table, pkIdentity(pk)]);
}

/**
 * The HLCs that a change has to be after: those of its table, so that it goes there, and of what it
 * replaces.
 */
function* metBy(
  change: WireChange,
  { table, row }: OwnTarget,
  catalog: CatalogView,
): Generator<HlcText> {
  const last = catalog.name(change.schema, change.table)?.past?.at(-1);
  if (last !== undefined) yield last[0];
  if (table !== undefined) {
    yield table.floor;
    yield table.since;
    if (table.made !== undefined) yield table.made;
  }
  if (row === undefined) return;
  if (row.tombstone !== undefined) yield row.tombstone.hlc;
  if (change.type === 'delete') for (const { hlc } of row.cells.values()) yield hlc;
  else {
    const stored = row.cells.get(JSON.stringify(change.column));
    if (stored !== undefined) yield stored.hlc;
  }
}
