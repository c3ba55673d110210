/**
 * The memory for catalogs. A catalog is in memory for as long as its database is open, and many may
 * be: each tells what it takes, so that whoever opens databases can bound what all take together.
 */

import type { NameRecord, SlotRecord, TableRecord } from '../records/table-record.ts';

/** What a catalog takes, about, in bytes of the heap, with its indexes; as measured. */
const TABLE_BYTES = 400;
const NAME_BYTES = 250;
const PAST_LEAD_BYTES = 260;
const SLOT_BYTES = 800;

/** The room of one catalog, beside those of other databases. */
export interface CatalogRoom {
  /**
   * While it is read: takes room for so many bytes in all, as soon as others have made room.
   * Returns `undefined` if there is room now.
   * @throws SyncError OVERLOADED
   */
  read(bytes: number): Promise<void> | undefined;
  /**
   * Takes room for the next catalog, which is larger, without waiting.
   * @throws SyncError OVERLOADED, or TOO_LARGE if it would be too large for any room
   */
  grow(bytes: number): void;
  /** What it takes by now, whether there is room for it or not. */
  hold(bytes: number): void;
}

export const UNLIMITED_ROOM: CatalogRoom = {
  read: () => undefined,
  grow: () => undefined,
  hold: () => undefined,
};

export function tableBytes({ schema, table }: TableRecord): number {
  return TABLE_BYTES + 2 * (lengthOf(schema) + lengthOf(table));
}

export function nameBytes({ schema, table, past = [] }: NameRecord): number {
  return NAME_BYTES + 2 * (lengthOf(schema) + lengthOf(table)) + PAST_LEAD_BYTES * past.length;
}

export function slotBytes({ schema, table, fromTable, ddl }: SlotRecord): number {
  // The key of a slot has its names as well.
  const names = 2 * (lengthOf(schema) + lengthOf(table)) + lengthOf(fromTable);
  return SLOT_BYTES + 2 * names + textBytes(ddl);
}

/** V8 keeps a text in one byte a character if that will do for all of it, else in two. */
function textBytes(text: unknown): number {
  const length = lengthOf(text);
  return typeof text === 'string' && Buffer.byteLength(text) === length ? length : 2 * length;
}

/** A damaged record, which `verify` reports, may have anything there. */
function lengthOf(text: unknown): number {
  return typeof text === 'string' ? text.length : 0;
}
