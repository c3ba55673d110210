/**
 * Finds the DDL of tables that were dropped: what made each, gave it its names, changed it and dropped
 * it. Once no client can ask for a delta from before the drop, all of it can go, also where the names are
 * in use again: the DDL of a table is no part of what leads to another.
 */

import { compareHlc, HLC_MIN, type HlcText, maxHlc, minHlc } from '../../clock/hlc.ts';
import { newestOf, type Slot } from '../records/table-record.ts';
import { type CatalogView, liveTable, namesOfSlot } from './catalog.ts';
import type { CatalogDraft } from './catalog-draft.ts';
import { connectedSlots, isSentRename, replay } from './ddl-replay.ts';
import { IndexSearch } from './index-search.ts';
import { isDoneAwayWith } from './late-ddl.ts';
import { pastAt } from './past-leads.ts';

/** The time, between two HLCs, during which a name was that of a table. */
interface Tenure {
  table: string;
  after: HlcText;
  before: HlcText;
}

/** The DDL of the table that has a name while DDL is gone through by HLC. */
interface OfTable {
  slots: Slot[];
  /** Under its former names. */
  tenures: Tenure[];
  /** Until then the name was that of another. */
  after: HlcText;
}

/** The DDL of a table, with its drop. */
interface OfDropped extends Pick<OfTable, 'slots' | 'tenures'> {
  drop: Slot;
}

/** @param slots all DDL of names that renames connect, by HLC */
function ofDropped(slots: readonly Slot[]): OfDropped[] {
  const dropped: OfDropped[] = [];
  const byName = new Map<string, OfTable>();
  for (const slot of slots) {
    const { type, table, fromTable = table, hlc } = slot;
    const own = byName.get(table) ?? { slots: [], tenures: [], after: HLC_MIN };
    byName.set(table, own);
    if (isSentRename(slot) && fromTable !== table) {
      const moved = byName.get(fromTable);
      if (moved !== undefined) byName.set(table, joined(own, moved));
      const { after = HLC_MIN } = moved ?? {};
      byName.get(table)?.tenures.push({ table: fromTable, after, before: hlc });
      byName.set(fromTable, { slots: [], tenures: [], after: hlc });
    }
    const of = byName.get(table) ?? own;
    of.slots.push(slot);
    if (type !== 'drop_table' || slot.aside) continue;
    of.tenures.push({ table, after: of.after, before: hlc });
    dropped.push({ drop: slot, slots: of.slots, tenures: of.tenures });
    byName.set(table, { slots: [], tenures: [], after: hlc });
  }
  return dropped;
}

/** What a rename brings along joins what its new name has, the shorter list the longer one. */
function joined({ after, ...own }: OfTable, moved: OfTable): OfTable {
  const [long, short] =
    own.slots.length > moved.slots.length ? [own, moved] : ([moved, own] as const);
  for (const slot of short.slots) long.slots.push(slot);
  for (const tenure of short.tenures) long.tenures.push(tenure);
  return { slots: long.slots, tenures: long.tenures, after };
}

/**
 * Whether nobody needs the DDL of a dropped table, and none of it would have another effect if it came
 * again.
 */
function canGo(
  catalog: CatalogView,
  { drop, slots, tenures }: OfDropped,
  horizon: HlcText,
  search: IndexSearch,
): boolean {
  const isOut = (slot: Slot) =>
    compareHlc(slot.at, horizon) <= 0 &&
    compareHlc(newestOf(slot), drop.hlc) <= 0 &&
    (isDoneAwayWith(catalog, slot) || (slot === drop && !isUsedAgain(catalog, drop)));
  if (!slots.every((slot) => slot.aside || isOut(slot))) return false;
  // While DDL of an index of the table is sent, the table has to be made before it.
  const first = slots.map(({ hlc }) => hlc).reduce(minHlc);
  return !tenures.some(({ table, after, before }) =>
    search.mayName(table, maxHlc(after, first), before),
  );
}

/** Whether the name of a drop is in use, or has been since. */
function isUsedAgain(catalog: CatalogView, { schema, table, hlc }: Slot): boolean {
  if (liveTable(catalog, schema, table) !== undefined) return true;
  const name = catalog.name(schema, table);
  return name !== undefined && pastAt(name, hlc) !== undefined;
}

/** What has been removed, and what was read for it. */
export interface Pruned {
  /** All names that renames connect with the one asked for. */
  names: ReadonlySet<string>;
  /** How many statements that were sent until now are gone. */
  removed: number;
  /** How many statements were read. */
  read: number;
}

/**
 * Removes the DDL of the dropped tables of all names that renames connect with one, if what is left
 * still gives exactly the live tables.
 * @param horizon no client is given a delta from before it
 */
export function pruneConnected(
  draft: CatalogDraft,
  schema: string,
  table: string,
  horizon: HlcText,
): Pruned {
  const { names, slots: sent, read } = connectedSlots(draft, schema, [table]);
  const spokenOf = new Set([...sent.values()].flatMap(namesOfSlot));
  const all: Slot[] = [];
  for (const name of names) {
    for (const slot of draft.slotsOf(schema, name)) if (slot.table === name) all.push(slot);
  }
  all.sort((a, b) => compareHlc(a.hlc, b.hlc));
  const trial = draft.trial();
  const search = new IndexSearch(draft, schema);
  let removed = 0;
  for (const dropped of ofDropped(all)) {
    if (!canGo(draft, dropped, horizon, search)) continue;
    for (const slot of dropped.slots) {
      // What was set aside might have an effect by now.
      if (slot.aside && !isDoneAwayWith(draft, slot)) continue;
      trial.deleteSlot(slot.key);
      sent.delete(slot.key);
      if (!slot.aside) removed++;
    }
  }
  const left = replay([...sent.values()].sort((a, b) => compareHlc(a.hlc, b.hlc)));
  for (const name of spokenOf) {
    const isLive = liveTable(draft, schema, name) !== undefined;
    if (left === undefined || (left.get(name) ?? false) !== isLive) {
      return { names, removed: 0, read: read + search.read };
    }
  }
  draft.adopt(trial);
  return { names, removed, read: read + search.read };
}
