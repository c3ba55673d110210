/**
 * Merges a migration into the catalog. It reads and writes only the catalog, never rows. Devices
 * that do not know of each other make, drop and rename tables in any order, and make the same table
 * again each time that they start:
 *
 *   - DDL takes effect only if a device that begins from nothing ends up, after all DDL that is
 *     sent,
 *     with exactly the live tables. Other DDL is set aside: it has no effect, and is not sent.
 *   - DDL that repeats what its slot holds, and changes nothing, is neither logged nor sent.
 */

import { compareHlc, HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import {
  isLive,
  isOfIndex,
  migrationSlot,
  type NameRecord,
  newestOf,
  type PastLead,
  supersededSlot,
  type TableRecord,
  toSlot,
} from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { CatalogDraft } from '../tables/catalog-draft.ts';
import { fitOf, isNeededBeside, pruneBefore } from '../tables/ddl-replay.ts';
import { withPast } from '../tables/past-leads.ts';
import { bearerOf, isBelowFloor } from '../tables/table-names.ts';

/** The result of a migration. */
export interface MergedMigration {
  outcome: 'applied' | 'skipped';
  /** The migrations to be logged and sent, in this order. */
  sent: readonly WireMigration[];
  /** Whether a drop or rename has taken effect. */
  endsTables: boolean;
  /** The number of logged migrations that it has replaced. */
  replaced: number;
  /** The number of statements that were read for it. */
  read: number;
}

/**
 * `none`: it changes no table, and is sent. `unsent`: it takes effect, but is not sent, since no
 * receiver could carry it out, nor could its author: it counts as skipped. `aside`: it takes no
 * effect.
 */
type Effect = 'changed' | 'none' | 'unsent' | 'aside';

interface Ddl {
  draft: CatalogDraft;
  migration: WireMigration;
  /** Its position in the log. */
  position: HlcText;
  /** DDL that has to be sent again after it. */
  again: WireMigration[];
  /** Slots that were removed. */
  pruned: string[];
}

const SKIPPED: MergedMigration = {
  outcome: 'skipped',
  sent: [],
  endsTables: false,
  replaced: 0,
  read: 0,
};

export function mergeMigration(
  draft: CatalogDraft,
  migration: WireMigration,
  position: HlcText,
): MergedMigration {
  const { type, hlc } = migration;
  const known = draft.slot(migrationSlot(migration));
  if (known !== undefined && compareHlc(hlc, newestOf(known)) <= 0) return SKIPPED;
  if (isDoneAwayWith(draft, migration)) return SKIPPED;
  if (known === undefined) refuseCrowding(draft, migration);

  const trial = draft.trial();
  // This migration takes its slot, but the earlier one is still needed by receivers.
  const isSuperseded = known !== undefined && isNeededBeside(draft, known, migration);
  if (isSuperseded) trial.setSlot({ ...known, newest: undefined, superseded: true });
  const ddl: Ddl = { draft: trial, migration, position, again: [], pruned: [] };
  const slot = toSlot({ ...migration, at: position, undeclared: isOfUndeclared(ddl) });
  const effect = effectOf(ddl);
  // A drop makes room.
  const isOneMore = (known === undefined || isSuperseded) && type !== 'drop_table';
  const isUnsent = effect === 'unsent';
  const { fits, read } =
    effect === 'aside' || isUnsent
      ? { fits: isUnsent, read: 0 }
      : fitOf(trial, slot, known, isOneMore);
  if (!fits) {
    // Recorded, so that it is skipped if it is sent again.
    if (known !== undefined && !known.aside) draft.setSlot({ ...known, newest: hlc });
    else draft.setSlot({ ...slot, aside: true });
    leadNewName(ddl, draft);
    return { ...SKIPPED, read };
  }
  leadNewName(ddl, trial);
  draft.adopt(trial);
  const isSaidAgain =
    known !== undefined &&
    known.type === type &&
    known.ddl === migration.ddl &&
    known.fromTable === migration.fromTable;
  if (isSaidAgain && !known.aside && effect === 'none') {
    draft.setSlot({ ...known, newest: hlc });
    return { ...SKIPPED, read };
  }
  draft.setSlot(isUnsent ? { ...slot, aside: true } : slot);
  const sent = isUnsent ? [] : [migration, ...ddl.again];
  const endsTables = type === 'drop_table' || type === 'rename_table';
  const isReplaced = known !== undefined && !known.aside && !isSuperseded;
  const replaced = (isReplaced ? 1 : 0) + ddl.pruned.length;
  return { outcome: isUnsent ? 'skipped' : 'applied', sent, endsTables, replaced, read };
}

/** A migration takes as long as so many changes, and longer where it reads many others. */
const MIGRATION_WORK = 60;
const READ_A_CHANGE = 8;
const DDL_BYTES_A_CHANGE = 400;

/** How many changes take as long as a migration that has been merged. */
export function workOf(
  { type }: WireMigration,
  { read }: Pick<MergedMigration, 'read'>,
  { size }: CatalogView,
): number {
  // A drop also looks for its table in the DDL of indexes.
  const searched = type === 'drop_table' ? size.ddl / DDL_BYTES_A_CHANGE : 0;
  return MIGRATION_WORK + read / READ_A_CHANGE + searched;
}

/** Whether this very migration, of this HLC, is part of the DDL that is sent. */
export function isSent(catalog: CatalogView, migration: WireMigration): boolean {
  return [migrationSlot(migration), supersededSlot(migration)].some((key) => {
    const slot = catalog.slot(key);
    return slot?.hlc === migration.hlc && !slot.aside;
  });
}

/**
 * Whether it is older than a drop of its table. A rename is checked with its old name, by
 * `renameTable`.
 */
function isDoneAwayWith(draft: CatalogDraft, migration: WireMigration): boolean {
  if (migration.type === 'rename_table' || isOfIndex(migration)) return false;
  const bearer = bearerOf(draft, migration.schema, migration.table, migration.hlc);
  if (bearer === 'unknown') return false;
  return bearer === 'void' || isBelowFloor(bearer, migration.hlc);
}

function effectOf(ddl: Ddl): Effect {
  switch (ddl.migration.type) {
    case 'create_table':
      return createTable(ddl);
    case 'drop_table':
      return dropTable(ddl);
    case 'rename_table':
      return renameTable(ddl);
    default:
      return 'none';
  }
}

/** Whether a rename moves a table that was made by changes of its rows alone, without DDL. */
function isOfUndeclared({ draft, migration }: Ddl): true | undefined {
  const { type, schema, fromTable, hlc } = migration;
  if (type !== 'rename_table' || fromTable === undefined) return undefined;
  const bearer = bearerOf(draft, schema, fromTable, hlc);
  if (typeof bearer === 'string') return bearer === 'unknown' ? true : undefined;
  const { made, since, floor } = bearer;
  return [made, since, floor].every((at) => at === HLC_MIN) ? true : undefined;
}

function createTable({ draft, migration, position }: Ddl): Effect {
  const { schema, table, hlc } = migration;
  const made = { schema, table, made: hlc, changed: position };
  const name = draft.name(schema, table);
  const bearer = bearerOf(draft, schema, table, hlc);
  if (name === undefined || typeof bearer === 'string') {
    draft.create(made);
    return 'changed';
  }
  if (bearer.table !== table) {
    const last = name.past?.at(-1);
    if (last === undefined || compareHlc(hlc, last[0]) > 0) {
      // The table with this name was renamed: the name is free.
      draft.setName({ ...leadingElsewhere(name, hlc), id: draft.create(made).id });
      return 'changed';
    }
  } else if (compareHlc(hlc, bearer.since) < 0) return 'none';
  const newest = maxHlc(bearer.made ?? HLC_MIN, hlc);
  const after: TableRecord = { ...bearer, made: newest };
  if (newest !== bearer.made) draft.setTable(after);
  if (isLive(bearer) || !isLive(after)) return 'none';
  succeed(draft, after, position);
  return 'changed';
}

function dropTable({ draft, migration, position, again, pruned }: Ddl): Effect {
  const { schema, table, hlc } = migration;
  const bearer = bearerOf(draft, schema, table, hlc);
  const dropped =
    typeof bearer === 'string'
      ? draft.create({ schema, table, made: HLC_MIN, changed: position })
      : bearer;
  // It was renamed, and this drops the old name.
  if (dropped.table !== table) return 'none';
  if (compareHlc(hlc, dropped.since) < 0) {
    // The table got this name only later: an earlier one was dropped.
    const name = draft.name(schema, table);
    if (name !== undefined) draft.setName(ledBefore(name, [hlc, 0]));
    return 'none';
  }
  const hidden: TableRecord = { ...dropped, floor: hlc, changed: position, unsettled: true };
  draft.setTable(hidden);
  const before = pruneBefore(draft, migration, position);
  again.push(...before.again);
  pruned.push(...before.pruned);
  if (isLive(hidden)) succeed(draft, hidden, position);
  return 'changed';
}

function renameTable(ddl: Ddl): Effect {
  const { draft, migration, position } = ddl;
  const { schema, table: to, fromTable: from, hlc } = migration;
  if (from === undefined || from === to) return 'aside';
  const bearer = bearerOf(draft, schema, from, hlc);
  const moving =
    bearer === 'unknown'
      ? draft.create({ schema, table: from, made: HLC_MIN, changed: position })
      : bearer;
  if (moving === 'void' || isBelowFloor(moving, hlc)) return 'aside';
  if (moving.table !== from || compareHlc(hlc, moving.since) < 0) return 'aside';
  const name = draft.name(schema, to);
  if (name === undefined) return takeAlong(ddl, moving, { schema, table: to, id: moving.id });
  const other = bearerOf(draft, schema, to, hlc);
  if (other === moving) return name.id === moving.id ? takeAlong(ddl, moving, name) : 'aside';
  if (typeof other === 'string') return 'aside';
  if (other.table !== to) {
    const last = name.past?.at(-1);
    if (last !== undefined && compareHlc(hlc, last[0]) <= 0) return 'aside';
    return takeAlong(ddl, moving, { ...leadingElsewhere(name, hlc), id: moving.id });
  }
  // Changes made this table without DDL, so no receiver can have it.
  const isUndeclared = isLive(other) && other.made === HLC_MIN && other.since === HLC_MIN;
  if ((isLive(other) && !isUndeclared) || isBelowFloor(other, hlc)) return 'aside';
  const left = isUndeclared ? name : ledBefore(name, [other.floor, other.id]);
  endInto(draft, other, moving.id, position);
  return takeAlong(ddl, moving, { ...left, id: moving.id });
}

/** Renames a table. @param to the record of the new name, which leads to the table */
function takeAlong(
  { draft, migration, position }: Ddl,
  table: TableRecord,
  to: NameRecord,
): Effect {
  const { schema, fromTable: from = '', hlc } = migration;
  const wasLive = isLive(table);
  draft.setName(to);
  const { made } = table;
  const isMadeAgain = made !== undefined && compareHlc(made, hlc) > 0;
  const changed = position;
  draft.setTable({
    ...table,
    table: to.table,
    since: hlc,
    changed,
    ...(isMadeAgain ? { made: hlc } : {}),
  });
  const left = draft.name(schema, from);
  if (left !== undefined) {
    const after = ledBefore(left, [hlc, table.id]);
    if (isMadeAgain && left.id === table.id) {
      // A site made it again without knowing of the rename: it means a new table of the old name.
      const again = draft.create({ schema, table: from, made, changed });
      draft.setName({ ...leadingElsewhere(after, made), id: again.id });
    } else draft.setName(after);
  }
  return wasLive ? 'changed' : 'unsent';
}

/** A dropped table's name is used again: a new table takes its place. */
function succeed(draft: CatalogDraft, ended: TableRecord, changed: HlcText): void {
  const { schema, table, made, since, floor } = ended;
  if (table === undefined) return;
  const next = draft.create({ schema, table, made, changed }, since);
  const name = draft.name(schema, table);
  if (name?.id === ended.id) draft.setName({ ...ledBefore(name, [floor, ended.id]), id: next.id });
  endInto(draft, ended, next.id, changed);
}

/** Another table takes the place of one that was dropped, and of those whose place that had taken. */
function endInto(draft: CatalogDraft, ended: TableRecord, into: number, changed: HlcText): void {
  draft.setTable({ ...ended, table: undefined, into, changed, unsettled: true });
  passOn(draft, ended, into);
}

/**
 * If the new name of a rename is unknown, lets it lead to the renamed table, or to a hidden one:
 * what belongs to a table that no receiver can have is never sent.
 */
function leadNewName({ migration, position }: Ddl, draft: CatalogDraft): void {
  const { type, schema, table, fromTable, hlc } = migration;
  if (type !== 'rename_table' || fromTable === undefined || fromTable === table) return;
  if (draft.name(schema, table) !== undefined) return;
  const meant = bearerOf(draft, schema, fromTable, hlc);
  const isThere =
    typeof meant !== 'string' && !isBelowFloor(meant, hlc) && compareHlc(hlc, meant.since) >= 0;
  if (isThere) draft.setName({ schema, table, id: meant.id });
  else draft.create({ schema, table, made: undefined, changed: position });
}

/** The tables whose place an ended one had taken lead to its successor: there are no chains. */
export function passOn(draft: CatalogDraft, { id, floor }: TableRecord, into: number): void {
  for (const before of [...draft.endedInto(id)]) {
    draft.setTable({ ...before, into, floor: maxHlc(before.floor, floor) });
  }
}

/** Ends at an HLC the time during which a name leads to its current table. */
function leadingElsewhere(name: NameRecord, until: HlcText): NameRecord {
  return ledBefore(name, [until, name.id]);
}

/** Tables that one name may have had, as far as changes for them may yet come. */
const PAST_LEADS_MAX = 10_000;

/** @throws SyncError TOO_LARGE if the name has led to too many tables */
function ledBefore(name: NameRecord, lead: PastLead): NameRecord {
  const after = withPast(name, lead);
  const { length = 0 } = after.past ?? [];
  if (length <= PAST_LEADS_MAX || length <= (name.past?.length ?? 0)) return after;
  const limit = 'limits.tablesPerDatabase';
  throw new SyncError('TOO_LARGE', `more than ${PAST_LEADS_MAX} tables of one name`, { limit });
}

/** Statements of one table, of different kinds or versions. Each new one reads all of them. */
const SLOTS_A_NAME_MAX = 1000;

/** @throws SyncError TOO_LARGE if the table has too many statements for one more */
function refuseCrowding(draft: CatalogDraft, { schema, table }: WireMigration): void {
  let count = 0;
  for (const _slot of draft.slotsOf(schema, table)) {
    if (++count < SLOTS_A_NAME_MAX) continue;
    const limit = 'limits.ddlBytesPerDatabase';
    throw new SyncError('TOO_LARGE', `more than ${SLOTS_A_NAME_MAX} statements of one table`, {
      limit,
    });
  }
}
