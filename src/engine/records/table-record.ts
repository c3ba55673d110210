/**
 * The records of the catalog, as they are stored and in memory. Rows and log records hold the
 * number of a table, and names lead to numbers, so DDL never rewrites a row or a log record.
 *
 * A number is never used again. A drop sets the floor of a table: changes up to this HLC count for
 * nothing. Floors only rise. A table is
 *
 *   live    it has a name, and was made no earlier than its floor: its changes are sent
 *   hidden  it was dropped, and its name was not used again: changes newer than the floor are kept
 *           ("held") for that case, and not sent
 *   ended   another table has taken its place: what is newer than its floor moves there, in steps
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { MigrationType } from '../../protocol/constants.ts';
import type { WireMigration } from '../../protocol/schemas.ts';

export interface TableRecord {
  readonly id: number;
  readonly schema: string;
  /** Its current name; missing once it has a successor. */
  readonly table?: string | undefined;
  /** The HLC of its last drop; `HLC_MIN` if there was none. */
  readonly floor: HlcText;
  /**
   * The newest HLC at which DDL made it; `HLC_MIN` for a table that changes made without DDL.
   * Missing while only a rename that took no effect has named it.
   */
  readonly made?: HlcText | undefined;
  /** The HLC of the rename that gave it its name; `HLC_MIN` if there was none. */
  readonly since: HlcText;
  /** The number of the table that has taken its place. */
  readonly into?: number | undefined;
  /** The position at which name, floor or successor changed last. */
  readonly changed: HlcText;
  /**
   * It may have rows up to its floor, or rows that belong to its successor: it has to be emptied.
   */
  readonly unsettled?: true | undefined;
}

/** Before `until` a name led to the table with this number; 0 is none. */
export type PastLead = readonly [until: HlcText, id: number];

export interface NameRecord {
  readonly schema: string;
  readonly table: string;
  /** The number of the table to which it leads after all of `past`. */
  readonly id: number;
  /** Ascending. Neighbours never lead to the same table. */
  readonly past?: readonly PastLead[] | undefined;
}

/** A stored migration. Its slot is given by kind, name and version: see `migrationSlot`. */
export interface SlotRecord extends WireMigration {
  /** The position at which it was logged, or would have been. */
  readonly at: HlcText;
  /** The newest HLC at which it was repeated, if that is not its own. */
  readonly newest?: HlcText | undefined;
  /** It is not sent. */
  readonly aside?: true | undefined;
  /** Of a rename: changes had made the renamed table, without DDL. */
  readonly undeclared?: true | undefined;
  /**
   * A later migration has taken its slot, but it is sent all the same, since devices need it: see
   * `isNeededBeside`.
   */
  readonly superseded?: true | undefined;
}

/** The same in memory, with its key, which takes time to make. */
export interface Slot extends SlotRecord {
  readonly key: string;
}

export function toSlot(record: SlotRecord): Slot {
  return { ...record, key: slotKeyOf(record) };
}

const INDEX_MIGRATIONS: ReadonlySet<MigrationType> = new Set(['add_index', 'drop_index']);

/** Whether it is about an index: then `table` is the name of the index. */
export function isOfIndex({ type }: Pick<WireMigration, 'type'>): boolean {
  return INDEX_MIGRATIONS.has(type);
}

/**
 * The slot of a migration: of two migrations with the same slot the later HLC replaces the other.
 */
export function migrationSlot(migration: WireMigration): string {
  const kind = isOfIndex(migration) ? 'index' : 'table';
  return JSON.stringify([migration.schema, kind, migration.table, migration.schemaVersion]);
}

/** The key of a slot record, which has another form if a later migration has taken its slot. */
export function slotKeyOf(slot: SlotRecord): string {
  return slot.superseded ? supersededSlot(slot) : migrationSlot(slot);
}

/** The key of a migration whose slot a later one has taken. */
export function supersededSlot(migration: WireMigration): string {
  return `${migrationSlot(migration)}${migration.hlc}`;
}

/** A migration with the protocol's fields only, in one order. */
export function toWireMigration(migration: WireMigration): WireMigration {
  const { type, schema, table, fromTable, ddl, hlc, schemaVersion } = migration;
  const from = fromTable === undefined ? {} : { fromTable };
  return { type, schema, table, ...from, ddl, hlc, schemaVersion };
}

export function migrationToJson(migration: WireMigration): string {
  return JSON.stringify(toWireMigration(migration));
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

/** Writes the fields that are set, in one order: equal records have equal bytes. */
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
