/**
 * Tables that were dropped or replaced: where their rows belong, and what becomes of their records
 * and names once they are empty.
 */

import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { isLive, type LiveTable, type TableRecord } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';
import type { CatalogDraft } from './catalog-draft.ts';
import { joinedPast } from './past-leads.ts';
import { isBelowFloor, successorOf } from './table-names.ts';

/** Where the rows of a table belong now. */
interface Destination {
  /** The last of its successors; `undefined` if it has none. */
  table: TableRecord | undefined;
  /** The greatest floor on the way there. */
  floor: HlcText;
}

export function destinationOf(catalog: CatalogView, from: TableRecord): Destination {
  let { floor } = from;
  let table = from.into === undefined ? undefined : catalog.table(from.into);
  for (let steps = 0; table?.into !== undefined; steps++) {
    floor = maxHlc(floor, table.floor);
    table = successorOf(catalog, table, steps);
  }
  return { table, floor };
}

/** Whether a table can be emptied now: rows that belong to a hidden one wait. */
export function canBeEmptied(catalog: CatalogView, table: TableRecord): boolean {
  const { table: into } = destinationOf(catalog, table);
  return table.unsettled === true && (into === undefined || isLive(into));
}

/**
 * Changes when rows that were passed over may have to move after all: then the steps begin again.
 */
export function emptyingMark(catalog: CatalogView, table: TableRecord): string {
  const { table: into, floor } = destinationOf(catalog, table);
  return `${table.id} ${floor} ${into?.id ?? 0}`;
}

/** Names that may lead to one table: once it has ended, all of them are moved at once. */
const NAMES_MAX = 1000;

/**
 * Another table takes the place of one that was dropped, and of those whose place that had taken.
 * @throws SyncError TOO_LARGE if these have too many names
 */
export function endInto(
  draft: CatalogDraft,
  ended: TableRecord,
  into: number,
  changed: HlcText,
): void {
  const waiting = [...draft.endedInto(ended.id)].map(({ id }) => id);
  refuseNames(draft, [into, ended.id, ...waiting]);
  draft.setTable({ ...ended, table: undefined, into, changed, unsettled: true });
  passOn(draft, ended, into);
}

/**
 * @param ids tables that are to become one
 * @returns how many names lead to them
 * @throws SyncError TOO_LARGE if there is no room for one more
 */
export function refuseNames(draft: CatalogDraft, ids: readonly number[]): number {
  let count = 0;
  for (const id of ids) for (const _name of draft.namesOf(id)) count++;
  if (count < NAMES_MAX) return count;
  const limit = 'limits.tablesPerDatabase';
  throw new SyncError('TOO_LARGE', `more than ${NAMES_MAX} names of one table`, { limit });
}

/** The tables whose place an ended one had taken lead to its successor: there are no chains. */
function passOn(draft: CatalogDraft, { id, floor }: TableRecord, into: number): void {
  for (const before of [...draft.endedInto(id)]) {
    draft.setTable({ ...before, into, floor: maxHlc(before.floor, floor) });
  }
}

/** All rows of a table have been read. */
export function finishEmptying(
  draft: CatalogDraft,
  table: TableRecord,
  into: LiveTable | undefined,
): void {
  if (into === undefined) draft.setTable({ ...table, unsettled: undefined });
  else forget(draft, table);
}

/** Deletes the record of an empty table that has a successor: names that led to it lead to its successor, or nowhere. */
export function forget(draft: CatalogDraft, table: TableRecord): void {
  const { id, floor, into = 0 } = table;
  for (const name of [...draft.namesOf(id)]) {
    const past = (name.past ?? []).flatMap((lead): (readonly [HlcText, number])[] => {
      const [until, to] = lead;
      if (to !== id) return [lead];
      if (compareHlc(until, floor) <= 0) return [[until, 0]];
      return [...nothingUpTo(floor), [until, into]];
    });
    const isLast = name.id === id;
    if (isLast) past.push(...nothingUpTo(floor));
    draft.setName({ ...name, id: isLast ? into : name.id, past: joinedPast(past) });
  }
  passOn(draft, table, into);
  draft.deleteTable(id);
}

function nothingUpTo(floor: HlcText): (readonly [HlcText, number])[] {
  return isBelowFloor({ floor }, floor) ? [[floor, 0]] : [];
}
