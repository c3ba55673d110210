/**
 * Replays the DDL that is sent, in the order of its HLCs, as a device would that begins from
 * nothing: tells whether it ends up with the live tables, and which DDL it does not need.
 */

import { compareHlc, HLC_MIN, type HlcText, maxHlc, minHlc } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { MigrationType } from '../../protocol/constants.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import { newestOf, type Slot, type SlotRecord } from '../records/table-record.ts';
import { type CatalogView, liveTable, namesOfSlot } from './catalog.ts';
import type { CatalogDraft } from './catalog-draft.ts';
import { IndexSearch } from './index-search.ts';

const TABLE_MIGRATIONS: ReadonlySet<MigrationType> = new Set([
  'create_table',
  'drop_table',
  'rename_table',
]);

function isRename({ type }: SlotRecord): boolean {
  return type === 'rename_table';
}

export function isSentRename(slot: SlotRecord): boolean {
  return isRename(slot) && !slot.aside;
}

/** Whether it creates, drops or renames a table, and is sent. */
function isOfTable({ type, aside }: SlotRecord): boolean {
  return !aside && TABLE_MIGRATIONS.has(type);
}

/** Whether DDL fits the DDL that is sent already, and how many statements were read to tell. */
export interface Fit {
  fits: boolean;
  read: number;
}

const FITS_ALWAYS: Fit = { fits: true, read: 0 };

/**
 * Whether every rename can be carried out, and the result is exactly the live tables. Only renames
 * can prevent that, so only names that renames connect are read.
 * @param catalog with the effect of `slot`, but without `slot` itself
 * @param replaced the migration in its slot until now, which is not sent any more
 * @param isOneMore whether it is stored beside all that is
 * @throws SyncError TOO_LARGE if there is too much to read for one more
 */
export function fitOf(
  catalog: CatalogView,
  slot: Slot,
  replaced: SlotRecord | undefined,
  isOneMore: boolean,
): Fit {
  if (!isOfTable(slot) && !(replaced !== undefined && isOfTable(replaced))) return FITS_ALWAYS;
  const names = [slot, replaced].flatMap((of) => (of === undefined ? [] : namesOfSlot(of)));
  const { slots, isRenamed, count, read } = connectedSlots(catalog, slot.schema, names);
  const isOfRename = isRename(slot) || (replaced !== undefined && isRename(replaced));
  if (!isRenamed && !isOfRename) return { fits: true, read };
  if (isOneMore && count >= CONNECTED_MAX) refuseConnected();
  slots.set(slot.key, slot);
  return { fits: givesLiveTables(catalog, slot.schema, slots.values()), read };
}

/**
 * Statements that make, drop and rename the tables that renames connect. Each new one reads all of
 * them.
 */
const CONNECTED_MAX = 4000;

function refuseConnected(): never {
  const what = 'statements make, drop and rename tables that renames connect';
  const limit = 'limits.ddlBytesPerDatabase';
  throw new SyncError('TOO_LARGE', `more than ${CONNECTED_MAX} ${what}`, { limit });
}

/** The DDL that makes, drops and renames tables, of names that renames connect. */
export interface Connected {
  /** All that renames connect, with the names asked for. */
  names: ReadonlySet<string>;
  /** What is sent. */
  slots: Map<string, Slot>;
  /** Whether there are any renames. */
  isRenamed: boolean;
  /** How many there are, with those that are not sent. */
  count: number;
  /** How many statements of these names there are, of whatever kind. */
  read: number;
}

export function connectedSlots(
  catalog: CatalogView,
  schema: string,
  of: readonly string[],
): Connected {
  const slots = new Map<string, Slot>();
  const names = new Set(of);
  let isRenamed = false;
  let count = 0;
  let read = 0;
  for (const name of names) {
    for (const slot of catalog.slotsOf(schema, name)) {
      read++;
      if (!TABLE_MIGRATIONS.has(slot.type)) continue;
      if (slot.table === name) count++;
      if (!slot.aside) slots.set(slot.key, slot);
      // A rename that is not sent may still have moved a hidden table.
      if (!isRename(slot)) continue;
      isRenamed = true;
      for (const connected of namesOfSlot(slot)) names.add(connected);
    }
  }
  return { names, slots, isRenamed, count, read };
}

function givesLiveTables(catalog: CatalogView, schema: string, sent: Iterable<Slot>): boolean {
  const present = replay([...sent].sort((a, b) => compareHlc(a.hlc, b.hlc)));
  if (present === undefined) return false;
  for (const [name, isPresent] of present) {
    if (isPresent !== (liveTable(catalog, schema, name) !== undefined)) return false;
  }
  return true;
}

type ReplayedDdl = Pick<SlotRecord, 'type' | 'table' | 'fromTable' | 'undeclared'>;

/**
 * Which names have a table in the end; `undefined` if a rename meets a table of its new name.
 * @param sent DDL of tables of one schema, by HLC
 */
export function replay(sent: readonly ReplayedDdl[]): Map<string, boolean> | undefined {
  const present = new Map<string, boolean>();
  for (const { type, table, fromTable, undeclared = false } of sent) {
    if (type === 'create_table') present.set(table, true);
    if (type === 'drop_table') present.set(table, false);
    if (type !== 'rename_table' || fromTable === undefined || fromTable === table) continue;
    // Changes made this table without DDL.
    if (!present.has(fromTable)) present.set(fromTable, undeclared);
    if (!present.has(table)) present.set(table, false);
    if (!present.get(fromTable)) continue;
    if (present.get(table)) return undefined;
    present.set(fromTable, false);
    present.set(table, true);
  }
  return present;
}

/** The HLC of the newest sent rename before `before`; `HLC_MIN` if there is none. */
function lastRename(slots: Iterable<SlotRecord>, before: HlcText): HlcText {
  let last = HLC_MIN;
  for (const slot of slots) {
    const isBefore = compareHlc(slot.hlc, before) < 0;
    if (isSentRename(slot) && isBefore) last = maxHlc(last, slot.hlc);
  }
  return last;
}

/**
 * Whether DDL of an index may be of a table that is dropped at `upTo`. While it is sent, the table
 * has to be made before it. What was sent before `needless` does not hang on that.
 * @param needless the DDL of the table that would go
 */
function isIndexed(
  search: IndexSearch,
  table: string,
  needless: readonly SlotRecord[],
  upTo: HlcText,
): boolean {
  if (needless.length === 0) return false;
  return search.mayName(table, needless.map(({ hlc }) => hlc).reduce(minHlc), upTo);
}

/**
 * Where the table with this name was renamed before: the HLC of what made another one that is
 * dropped now. Without it a device would take the name for that of the renamed table still, and
 * what is written under it from now on for changes of that.
 */
function remadeAfter(
  slots: readonly SlotRecord[],
  { table, hlc: upTo }: WireMigration,
  edge: HlcText,
): HlcText | undefined {
  const isAway = slots.some(({ hlc, fromTable }) => hlc === edge && fromTable === table);
  if (!isAway) return undefined;
  const made = slots.filter(
    (slot) => slot.table === table && slot.type === 'create_table' && !slot.aside,
  );
  const between = made.filter(({ hlc }) => compareHlc(hlc, edge) > 0 && compareHlc(hlc, upTo) < 0);
  return between.map(({ hlc }) => hlc).reduce(maxHlc, HLC_MIN);
}

/**
 * Removes the DDL of a table before its drop, back to the last rename to or from its name: no
 * device needs it.
 * @returns DDL that was repeated after the drop, which devices that carry out the drop need again;
 *   and the removed slots; and how many statements might have been read meanwhile
 */
export function pruneBefore(
  draft: CatalogDraft,
  drop: WireMigration,
  position: HlcText,
): { again: WireMigration[]; pruned: string[]; read: number } {
  const { schema, table, hlc: upTo } = drop;
  const slots = [...draft.slotsOf(schema, table)];
  const edge = lastRename(slots, upTo);
  const remade = remadeAfter(slots, drop, edge);
  const again: WireMigration[] = [];
  const needless: Slot[] = [];
  for (const slot of slots) {
    if (slot.table !== table) continue;
    if (compareHlc(slot.hlc, upTo) >= 0 || compareHlc(slot.hlc, edge) <= 0) continue;
    const newest = newestOf(slot);
    if (compareHlc(newest, upTo) <= 0) {
      if (slot.hlc !== remade) needless.push(slot);
    } else if (!slot.aside) {
      const { at: _at, newest: _newest, aside: _aside, ...migration } = slot;
      const repeated = { ...migration, hlc: newest };
      draft.setSlot({ ...repeated, at: position });
      again.push(repeated);
    }
  }
  const search = new IndexSearch(draft, schema);
  if (isIndexed(search, table, needless, upTo)) return { again, pruned: [], read: search.read };
  for (const { key } of needless) draft.deleteSlot(key);
  return { again, pruned: needless.map(({ key }) => key), read: search.read };
}

/**
 * Whether DDL has to be sent although newer DDL takes its slot: a drop, without which the table
 * would be there still; a rename, without which a new device would have the table under its old
 * name; and the creation of a table that was renamed before the newer DDL.
 */
export function isNeededBeside(
  catalog: CatalogView,
  slot: SlotRecord,
  { type, hlc }: WireMigration,
): boolean {
  const { schema, table, aside } = slot;
  if (aside) return false;
  if (slot.type === 'drop_table') return type !== 'drop_table';
  if (slot.type === 'rename_table') return true;
  if (slot.type !== 'create_table') return false;
  for (const other of catalog.slotsOf(schema, table)) {
    if (!isSentRename(other) || other.fromTable !== table) continue;
    if (compareHlc(slot.hlc, other.hlc) < 0 && compareHlc(other.hlc, hlc) < 0) return true;
  }
  return false;
}
