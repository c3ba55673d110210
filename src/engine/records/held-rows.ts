/**
 * Held rows: what single sites hold of a row that is newer than what is stored, since a change of
 * theirs was refused. The refused change is not stored, and no other site gets it. The log has a
 * revert for that site alone: what is stored, under an HLC that wins there. From then on the site
 * holds that HLC, which no other site knows. So whatever takes effect later with a lesser HLC is
 * sent to it in another revert.
 *
 * A record is JSON: the row's key, and for each site what it holds, each with its HLC and the
 * position of the revert in the log. Without a position it is the site's own value, which equals
 * what is stored.
 */

import type { Static } from 'typebox';
import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import type { HeldRowSchema } from './record-schemas.ts';
import { bytesToText, type Row } from './row.ts';

export interface Held {
  hlc: HlcText;
  /** The position of the revert; `undefined` for what the site wrote itself. */
  at?: HlcText | undefined;
}

/** What one site holds of a row. */
export interface Holding {
  /** A deletion. */
  row?: Held | undefined;
  /** By the JSON of the column's name; each newer than the deletion. */
  cells: Map<string, Held>;
}

export type Holdings = Map<SiteIdText, Holding>;

/** What all sites hold of a row. */
export interface HeldRow {
  /** The key as JSON, as the refused change had it. */
  pk: string;
  sites: Holdings;
}

function heldRowToJson({ pk, sites }: HeldRow): Static<typeof HeldRowSchema> {
  return {
    pk: JSON.parse(pk),
    sites: [...sites].map(([site, { row, cells }]) => ({
      site,
      ...(row === undefined ? {} : { row }),
      cells: [...cells].map(([column, held]) => ({ column: JSON.parse(column), ...held })),
    })),
  };
}

export function heldRowFromJson({ pk, sites }: Static<typeof HeldRowSchema>): HeldRow {
  const cellsOf = (cells: (Held & { column: string })[]) =>
    new Map(cells.map(({ column, hlc, at }) => [JSON.stringify(column), { hlc, at }]));
  return {
    pk: JSON.stringify(pk),
    sites: new Map(sites.map(({ site, row, cells }) => [site, { row, cells: cellsOf(cells) }])),
  };
}

/** `undefined` if no site holds anything: then there is no record. */
export function encodeHeldRow(held: HeldRow): Buffer | undefined {
  return held.sites.size === 0 ? undefined : Buffer.from(JSON.stringify(heldRowToJson(held)));
}

export function decodeHeldRow(bytes: Uint8Array): HeldRow {
  return heldRowFromJson(JSON.parse(bytesToText(bytes)));
}

function isAtLeast(known: { hlc: HlcText } | undefined, hlc: HlcText): boolean {
  return known !== undefined && compareHlc(known.hlc, hlc) >= 0;
}

/**
 * Records that a site holds a refused change.
 * @param floor the site's floor, see `held-floors.ts`
 * @param tell columns that the site needs a revert of: those that differ from what is stored are
 *   added, the others removed
 */
export function noteRefused(
  change: WireChange,
  row: Row,
  holding: Holding,
  floor: HlcText | undefined,
  tell: Set<string>,
): void {
  const hlc = floor === undefined ? change.hlc : maxHlc(change.hlc, floor);
  // What is stored wins at the site as well, or the site has had a revert already.
  if (isAtLeast(row.tombstone, hlc) || isAtLeast(holding.row, hlc)) return;
  if (change.type === 'delete') {
    holding.row = { hlc };
    // A device that takes back by itself what is refused has these still.
    for (const [column, held] of holding.cells) if (compareHlc(held.hlc, hlc) < 0) tell.add(column);
    for (const [column, cell] of row.cells) {
      const isAlive = isAtLeast(cell, hlc) || isAtLeast(holding.cells.get(column), hlc);
      if (!isAlive) tell.add(column);
    }
    return;
  }
  const column = JSON.stringify(change.column);
  const stored = row.cells.get(column);
  if (isAtLeast(stored, hlc) || isAtLeast(holding.cells.get(column), hlc)) return;
  holding.cells.set(column, { hlc });
  const isSame = row.cells.size > 0 && JSON.stringify(change.value) === (stored?.value ?? 'null');
  if (isSame) tell.delete(column);
  else tell.add(column);
}

/** A change that took effect. */
export interface Applied {
  change: { type: 'delete'; hlc: HlcText } | { type: 'column'; hlc: HlcText; column: string };
  /** For a deletion: the columns that the row had before, as JSON. */
  columnsBefore: readonly string[];
}

/**
 * Records what a change that took effect means for a site that holds something of the row.
 * @param floor as for `noteRefused`
 * @param tell columns that the site does not take, and so needs a revert of, are added
 */
export function noteApplied(
  { change, columnsBefore }: Applied,
  holding: Holding,
  floor: HlcText | undefined,
  tell: Set<string>,
): void {
  const { hlc } = change;
  if (floor !== undefined && compareHlc(hlc, floor) <= 0) {
    const columns = change.type === 'delete' ? columnsBefore : [JSON.stringify(change.column)];
    for (const column of columns) {
      const known = holding.cells.get(column);
      if (!isAtLeast(known, floor)) holding.cells.set(column, { hlc: floor, at: known?.at });
    }
  }
  if (change.type === 'delete') {
    for (const [column, held] of holding.cells) if (isAtLeast(held, hlc)) tell.add(column);
    return;
  }
  const column = JSON.stringify(change.column);
  const isBehind = isAtLeast(holding.row, hlc) || isAtLeast(holding.cells.get(column), hlc);
  if (isBehind) tell.add(column);
}

/** The changes of a revert to one row. */
export interface Restated {
  /** `null` for a cell that the row doesn't have; a deletion if the row isn't there. */
  changes: { hlc: HlcText; column?: string; value?: string }[];
  /** The number of changes in earlier reverts that these replace. */
  replaced: number;
}

/**
 * Makes the changes of a revert, and records that the site holds them.
 * @param after gives the next greater HLC of the coordinator's site
 * @param at the position that the revert will have
 */
export function restate(
  row: Row,
  holding: Holding,
  tell: ReadonlySet<string>,
  after: (hlc: HlcText) => HlcText,
  at: HlcText,
): Restated {
  let newest = holding.row?.hlc;
  const isGone = row.cells.size === 0;
  for (const [column, { hlc }] of holding.cells) {
    if (isGone || tell.has(column)) newest = newest === undefined ? hlc : maxHlc(newest, hlc);
  }
  if (newest === undefined || tell.size === 0) return { changes: [], replaced: 0 };
  const hlc = after(newest);
  let replaced = 0;
  const forget = (held: Held | undefined) => {
    if (held?.at !== undefined) replaced++;
  };
  if (isGone) {
    forget(holding.row);
    for (const held of holding.cells.values()) forget(held);
    holding.row = { hlc, at };
    holding.cells.clear();
    return { changes: [{ hlc }], replaced };
  }
  const changes = [...tell].map((column) => {
    forget(holding.cells.get(column));
    holding.cells.set(column, { hlc, at });
    return { hlc, column, value: row.cells.get(column)?.value ?? 'null' };
  });
  return { changes, replaced };
}

/** Removes what is stored under the same or a greater HLC: all sites get that. */
export function settle({ sites }: HeldRow, { cells, tombstone }: Row): void {
  for (const [site, holding] of sites) {
    if (holding.row !== undefined && isAtLeast(tombstone, holding.row.hlc)) holding.row = undefined;
    for (const [column, { hlc }] of holding.cells) {
      const isSettled = isAtLeast(cells.get(column), hlc) || isAtLeast(tombstone, hlc);
      if (isSettled) holding.cells.delete(column);
    }
    if (isNothing(holding)) sites.delete(site);
  }
}

/** Removes what is not newer than the floor of the row's table. */
export function trim(holding: Holding, floor: HlcText): void {
  const isBelow = ({ hlc }: Held) => compareHlc(hlc, floor) <= 0;
  if (holding.row !== undefined && isBelow(holding.row)) holding.row = undefined;
  for (const [column, held] of holding.cells) if (isBelow(held)) holding.cells.delete(column);
}

/** Stands for the columns of a row that is gone, for which a revert is one deletion. */
const ANY_COLUMN = '""';

/**
 * Records that a site holds of a row what it held of one that has moved here. It may not have
 * received the reverts for that one.
 * @param tell all columns that it holds are added
 */
export function noteMoved(from: Holding, row: Row, holding: Holding, tell: Set<string>): void {
  if (from.row !== undefined) {
    const { hlc } = from.row;
    if (!isAtLeast(holding.row, hlc)) holding.row = { hlc };
    for (const column of [...row.cells.keys(), ...holding.cells.keys()]) tell.add(column);
    if (row.cells.size === 0) tell.add(ANY_COLUMN);
  }
  for (const [column, { hlc }] of from.cells) {
    if (!isAtLeast(holding.cells.get(column), hlc)) holding.cells.set(column, { hlc });
    tell.add(column);
  }
}

/** Whether a change in a revert at a position is the last one that the site was sent. */
export function isToldAt(
  held: HeldRow | undefined,
  site: SiteIdText,
  change: WireChange,
  position: HlcText,
): boolean {
  const holding = held?.sites.get(site);
  const known =
    change.type === 'delete' ? holding?.row : holding?.cells.get(JSON.stringify(change.column));
  return known?.at === position;
}

/** What a site holds, in no order. */
export function* heldOf({ row, cells }: Holding): Generator<Held> {
  if (row !== undefined) yield row;
  yield* cells.values();
}

/** The number of changes of reverts in the log for what a site holds. */
export function countTold(holding: Holding): number {
  return [...heldOf(holding)].filter(({ at }) => at !== undefined).length;
}

const HELD_BYTES = 100;

/**
 * The approximate size of the record of what a site holds of a row, with one byte for a character.
 */
export function holdingBytes(pk: string, { row, cells }: Holding): number {
  let bytes = pk.length + HELD_BYTES + (row === undefined ? 0 : HELD_BYTES);
  for (const column of cells.keys()) bytes += column.length + HELD_BYTES;
  return bytes;
}

/** The size of the record by site. */
export function heldBytesBySite({ pk, sites }: HeldRow): Map<SiteIdText, number> {
  return new Map([...sites].map(([site, holding]) => [site, holdingBytes(pk, holding)]));
}

export function isNothing({ row, cells }: Holding): boolean {
  return row === undefined && cells.size === 0;
}
