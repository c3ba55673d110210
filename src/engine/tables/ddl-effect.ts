/**
 * What a migration does to the tables and names of the catalog: make, drop and rename, in whatever
 * order the devices that do not know of each other bring them.
 */

import { compareHlc, HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import {
  isLive,
  type NameRecord,
  type PastLead,
  type TableRecord,
} from '../records/table-record.ts';
import type { CatalogDraft } from './catalog-draft.ts';
import { pruneBefore } from './ddl-replay.ts';
import { endInto, refuseNames } from './ended-tables.ts';
import { withPast } from './past-leads.ts';
import { bearerOf, isBelowFloor } from './table-names.ts';

/**
 * `none`: it changes no table, and is sent. `unsent`: it takes effect, but is not sent, since no
 * receiver could carry it out, nor could its author: it counts as skipped. `aside`: it takes no
 * effect.
 */
export type Effect = 'changed' | 'none' | 'unsent' | 'aside';

export interface Ddl {
  draft: CatalogDraft;
  migration: WireMigration;
  /** Its position in the log. */
  position: HlcText;
  /** DDL that has to be sent again after it. */
  again: WireMigration[];
  /** Slots that were removed. */
  pruned: string[];
  /** The number of names and statements that were read. */
  read: number;
}

export function effectOf(ddl: Ddl): Effect {
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
export function isOfUndeclared({ draft, migration }: Ddl): true | undefined {
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

function dropTable(ddl: Ddl): Effect {
  const { draft, migration, position, again, pruned } = ddl;
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
  ddl.read += before.read;
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

/**
 * Renames a table.
 * @param to the record of the new name, which leads to the table
 * @throws SyncError TOO_LARGE if it has had too many
 */
function takeAlong(ddl: Ddl, table: TableRecord, to: NameRecord): Effect {
  const { draft, migration, position } = ddl;
  const { schema, fromTable: from = '', hlc } = migration;
  const wasLive = isLive(table);
  ddl.read += refuseNames(draft, [table.id]);
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

/**
 * If the new name of a rename is unknown, lets it lead to the renamed table, or to a hidden one:
 * what belongs to a table that no receiver can have is never sent.
 */
export function leadNewName(ddl: Ddl, draft: CatalogDraft): void {
  const { migration, position } = ddl;
  const { type, schema, table, fromTable, hlc } = migration;
  if (type !== 'rename_table' || fromTable === undefined || fromTable === table) return;
  if (draft.name(schema, table) !== undefined) return;
  const meant = bearerOf(draft, schema, fromTable, hlc);
  const isThere =
    typeof meant !== 'string' && !isBelowFloor(meant, hlc) && compareHlc(hlc, meant.since) >= 0;
  if (isThere) {
    ddl.read += refuseNames(draft, [meant.id]);
    draft.setName({ schema, table, id: meant.id });
  } else draft.create({ schema, table, made: undefined, changed: position });
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
