/**
 * What the catalog is made of, as it is stored and as it is in memory. Rows and log records carry
 * the number of a table, and names lead to numbers: whatever happens to a name, no row and no log
 * record is rewritten for it.
 *
 * A number is given once and never again. A drop is a floor: the HLC up to which nothing of a
 * table counts; floors only rise. A table is
 *
 *   live    it goes by a name, and was made no earlier than its floor: its changes are sent
 *   hidden  it was dropped, and its name has not been used again: what is newer is held, not sent
 *   ended   another table has taken its place: what is newer than its floor moves there, in steps
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { MigrationType, WireMigration } from '../../protocol/schemas.ts';

export interface TableRecord {
  readonly id: number;
  readonly schema: string;
  /** The name that it goes by; missing once it has a successor. */
  readonly table?: string | undefined;
  /** Nothing up to it counts. */
  readonly floor: HlcText;
  /**
   * The newest HLC at which it is known to have been made; the smallest one for a table of which no
   * DDL has spoken. Missing while nothing but a rename that could not be carried out speaks of it.
   */
  readonly made?: HlcText | undefined;
  /** When it came to its name by a rename; the smallest HLC otherwise. */
  readonly since: HlcText;
  /** The number of its successor. */
  readonly into?: number | undefined;
  /** The position at which name, floor or successor changed last. */
  readonly changed: HlcText;
  /** It may hold what is no newer than its floor, or what belongs to its successor. */
  readonly unsettled?: true | undefined;
}

/** Up to `until` a name led to the table with this number; 0 is none. */
export type PastLead = readonly [until: HlcText, id: number];

export interface NameRecord {
  readonly schema: string;
  readonly table: string;
  /** Where what is newer than all of `past` belongs. */
  readonly id: number;
  /** Ascending. Neighbours never lead to the same table. */
  readonly past?: readonly PastLead[] | undefined;
}

/** A migration as it is remembered, in the place that its kind, name and version have. */
export interface SlotRecord extends WireMigration {
  /** The position at which it was logged, or would have been. */
  readonly at: HlcText;
  /** The newest HLC at which it was said, where that is not its own. */
  readonly newest?: HlcText | undefined;
  /** It has no effect, and is sent to nobody. */
  readonly aside?: true | undefined;
  /** Of a rename: no DDL had made the table that it takes along, only rows. */
  readonly undeclared?: true | undefined;
  /**
   * Another one has its place by now, and it is sent all the same: its table went on under another
   * name in between, and without it a new device would have none to be renamed.
   */
  readonly superseded?: true | undefined;
}

/** The same in memory, with its key: looking through many would spend its time on making them. */
export interface Slot extends SlotRecord {
  readonly key: string;
}

export function toSlot(record: SlotRecord): Slot {
  return { ...record, key: slotKeyOf(record) };
}

const INDEX_MIGRATIONS: ReadonlySet<MigrationType> = new Set(['add_index', 'drop_index']);

/** Whether it is about an index, whose name stands in the place of a table's. */
export function isOfIndex({ type }: Pick<WireMigration, 'type'>): boolean {
  return INDEX_MIGRATIONS.has(type);
}

/** What two migrations must share for the later HLC to replace the other. */
export function migrationSlot(migration: WireMigration): string {
  const kind = isOfIndex(migration) ? 'index' : 'table';
  return JSON.stringify([migration.schema, kind, migration.table, migration.schemaVersion]);
}

/** The key of a slot: that of its place, unless another one has that by now. */
export function slotKeyOf(slot: SlotRecord): string {
  return slot.superseded ? supersededSlot(slot) : migrationSlot(slot);
}

/** The key under which a migration is kept once another one has its place. */
export function supersededSlot(migration: WireMigration): string {
  return `${migrationSlot(migration)}${migration.hlc}`;
}

/** A migration with the protocol's fields only, in one order. */
export function migrationToJson(migration: WireMigration): string {
  const { type, schema, table, fromTable, ddl, hlc, schemaVersion } = migration;
  return JSON.stringify({ type, schema, table, fromTable, ddl, hlc, schemaVersion });
}

export function newestOf({ hlc, newest = hlc }: SlotRecord): HlcText {
  return newest;
}

export type LiveTable = TableRecord & { readonly table: string };

export function isLive(table: TableRecord): table is LiveTable {
  const { into, made, floor, table: name } = table;
  if (into !== undefined || name === undefined || made === undefined) return false;
  return made === floor || compareHlc(made, floor) >= 0;
}

/** With exactly the fields that are set, in one order: a record is the same bytes whoever wrote it. */
export function tableToJson(table: TableRecord): string {
  const { id, schema, table: name, floor, made, since, into, changed, unsettled } = table;
  return JSON.stringify({ id, schema, table: name, floor, made, since, into, changed, unsettled });
}

export function nameToJson({ schema, table, id, past = [] }: NameRecord): string {
  return JSON.stringify({ schema, table, id, past: past.length > 0 ? past : undefined });
}

export function slotToJson(slot: SlotRecord): string {
  const { type, schema, table, fromTable, ddl, hlc, schemaVersion } = slot;
  const { at, aside, undeclared, superseded } = slot;
  const newest = slot.newest === hlc ? undefined : slot.newest;
  const fields = { type, schema, table, fromTable, ddl, hlc, schemaVersion };
  return JSON.stringify({ ...fields, at, newest, aside, undeclared, superseded });
}
