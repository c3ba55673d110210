/**
 * Decides what the sender of a batch may know of that which took no effect, for the counts of the
 * answer as for its lists. What a change has lost against is hidden if its sender may not read it,
 * and if nobody can tell: then the answer is the one that it would get were nothing there.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { type HlcsOfSite, hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { Elsewhere, Unapplied } from '../../engine/merge/batch.ts';
import type { BatchItem, Sender } from '../../engine/merge/foreign-authors.ts';
import { toWireMigration } from '../../engine/records/table-record.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { itemsOf } from '../../hooks/verdicts/returned-changes.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { forEach, runByTurns, type Steps, Stretch } from '../../wire/steps.ts';
import { type ReadRight, readerOf, type Stamp } from '../access/rights.ts';
import { type ReadFilter, readFilterOf } from '../delivery/read-filter.ts';
import type { Asking } from './judging.ts';

/** The sender of a batch, and how it reads what has won. */
export interface Reading {
  sender: Sender;
  /** Of its batch what was merged; the rest are the coordinator's answers. */
  sent: readonly WireChangeSet[];
  right: ReadRight;
  /** From before the batch was merged. */
  stamp: Stamp;
  signal?: AbortSignal | undefined;
}

/** For each item of whose loss the sender may not know: the outcome that it is told. */
export type Hidden = ReadonlyMap<BatchItem, Unbeaten>;

/** The outcomes of what nothing has beaten. */
type Unbeaten = 'applied' | 'skipped' | 'foreign';

/**
 * What is hidden under the right from before the batch was merged. Whether that holds is asked right
 * before the answer is sent.
 * @param position of the database, after the batch
 */
export async function hiddenOf(
  asking: Asking,
  manager: SyncManager,
  position: HlcText,
  unapplied: readonly Unapplied[],
  reading: Reading,
): Promise<Hidden> {
  const { right, signal } = reading;
  if (!(await right.isGranted(signal, asking.origin)))
    return allHidden(manager, unapplied, reading);
  const filter = readFilterOf(asking.hooks, readerOf(asking.client), signal, asking.origin);
  const hidden = new Map<BatchItem, Unbeaten>();
  if (filter === undefined) return hidden;
  const { siteId } = reading.sender;
  const coordinator = manager.identity;
  const ifUnbeaten = ruleOf(reading, coordinator.hlcs);
  const winners = await runByTurns(winnersOf(unapplied, manager, siteId));
  const others = new Set([...winners.values()].filter(isLists).flat());
  const show = (site: SiteIdText, items: Iterable<BatchItem>) =>
    seenOf(filter, manager, toSet(site, position, items));
  const sent = await show(siteId, winners.keys());
  // As in a snapshot: to a filter that goes by the site it must not look like the sender's.
  const stored = await show(coordinator.siteIdText, await runByTurns(itemsIn(others)));
  const whole = await runByTurns(wholeOf(others, stored));
  const isShown = (winner: Winner, item: BatchItem) =>
    winner === item ||
    (isLists(winner) && winner.every((list) => whole.has(list) || isMasked(list, item, stored)));
  const compare = ([item, winner]: [BatchItem, Winner]) => {
    // One that is hidden itself isn't called foreign.
    if (!sent.items.has(item)) hidden.set(item, 'applied');
    else if (!isShown(winner, item)) hidden.set(item, ifUnbeaten(item));
  };
  await runByTurns(forEach([...winners], compare));
  return hidden;
}

/**
 * What may be told of changes that are stored under another name, or in no table that is told of: it tells
 * of the DDL that has led them there.
 */
export async function shownElsewhere(
  asking: Asking,
  manager: SyncManager,
  position: HlcText,
  elsewhere: readonly Elsewhere[],
  { right, signal }: Reading,
): Promise<readonly Elsewhere[]> {
  if (elsewhere.length === 0 || !(await right.isGranted(signal, asking.origin))) return [];
  const filter = readFilterOf(asking.hooks, readerOf(asking.client), signal, asking.origin);
  if (filter === undefined) return elsewhere;
  const { voiding } = manager.tables;
  const ddl = new Map<Elsewhere, Several>();
  const find = (each: Elsewhere) => {
    const { item, table } = each;
    const led = table === undefined ? voiding.drops(item) : [voiding.rename(item, table)];
    if (led !== undefined) ddl.set(each, led);
  };
  await runByTurns(forEach(elsewhere, find));
  const lists = new Set(ddl.values());
  const items = await runByTurns(itemsIn(lists));
  const seen = await seenOf(filter, manager, toSet(manager.identity.siteIdText, position, items));
  const whole = await runByTurns(wholeOf(lists, seen));
  return elsewhere.filter((each) => {
    const led = ddl.get(each);
    return led !== undefined && whole.has(led);
  });
}

/** For whom may not read, or may not read any more. */
export function allHidden(
  manager: SyncManager,
  unapplied: readonly Unapplied[],
  reading: Reading,
): Hidden {
  const ifUnbeaten = ruleOf(reading, manager.identity.hlcs);
  return new Map(unapplied.map(({ item }) => [item, ifUnbeaten(item)]));
}

/** What would have become of an item were nothing there: see `ForeignChanges`. */
function ruleOf({ sender, sent }: Reading, coordinator: HlcsOfSite): (item: BatchItem) => Unbeaten {
  let sentItems: ReadonlySet<BatchItem> | undefined;
  return (item) => {
    if (!coordinator.has(item.hlc)) return sender.isForeign(item) ? 'foreign' : 'applied';
    sentItems ??= new Set(sent.flatMap(itemsOf));
    if (!sentItems.has(item)) return 'applied';
    return sender.foreignAuthors === 'refuse' ? 'foreign' : 'skipped';
  };
}

/**
 * Of which one counts, and it is not known which. A drop may void every change of a batch: all have the same
 * list, so that it is gone through once.
 */
type Several = readonly BatchItem[];

/** What has won, as it is stored; the item itself where nothing has. Of several lists all count. */
type Winner = BatchItem | readonly Several[] | 'unknown';

function isLists(winner: Winner): winner is readonly Several[] {
  return Array.isArray(winner);
}

function* itemsIn(lists: Iterable<Several>): Steps<Set<BatchItem>> {
  const stretch = new Stretch();
  const items = new Set<BatchItem>();
  for (const list of lists) yield* forEach(list, (item) => items.add(item), stretch);
  return items;
}

/** The lists of which all is seen. */
function* wholeOf(lists: Iterable<Several>, { items }: Seen): Steps<Set<Several>> {
  const stretch = new Stretch();
  const whole = new Set<Several>();
  for (const list of lists) {
    if (list.every((item) => items.has(item))) whole.add(list);
    if (stretch.ends(list.length)) yield;
  }
  return whole;
}

type Winners = ReadonlyMap<BatchItem, Winner>;

function* winnersOf(
  unapplied: readonly Unapplied[],
  manager: SyncManager,
  sender: SiteIdText,
): Steps<Winners> {
  /** One drop may void many changes. */
  const voiding = new Map<string, Winner>();
  const winners = new Map<BatchItem, Winner>();
  const ddl = manager.tables.voiding;
  yield* forEach(unapplied, (each) => winners.set(each.item, winnerOf(each)));
  return winners;

  function winnerOf(each: Unapplied): Winner {
    const { item, outcome, by, isVoid = false } = each;
    if (outcome === 'foreign') return item;
    if ('ddl' in item) return ddlOver(item, each);
    if (by === undefined) return isVoid ? 'unknown' : item;
    if (!isVoid) return isOwn(each, sender) ? item : storedOf(item, by, each);
    const key = JSON.stringify([item.schema, item.table, by]);
    if (!voiding.has(key)) voiding.set(key, dropsOr(ddl.find(item, by), item));
    return voiding.get(key) ?? 'unknown';
  }

  function ddlOver(item: WireMigration, { standing, isVoid = false }: Unapplied): Winner {
    if (standing !== undefined) return [[toWireMigration(standing)]];
    if (isVoid) return dropsOr(undefined, item);
    return isOntoItself(item) ? item : (ddl.inTheWay(item) ?? 'unknown');
  }

  function dropsOr(found: WireMigration | undefined, item: BatchItem): Winner {
    const drops = found === undefined ? ddl.drops(item) : [found];
    return drops === undefined ? 'unknown' : [drops];
  }
}

/** Whether it is a rename that comes to nothing wherever it is sent. */
function isOntoItself({ type, table, fromTable = table }: WireMigration): boolean {
  return type === 'rename_table' && fromTable === table;
}

/** Whether the sender sends again what it wrote itself, and nothing else. */
function isOwn({ item, by, lost, met }: Unapplied, sender: SiteIdText): boolean {
  const isSame = by === item.hlc && lost === undefined && met === undefined;
  return isSame && hlcSite(item.hlc) === sender;
}

function storedOf(item: WireChange, by: HlcText, { lost, met = {} }: Unapplied): Winner {
  const { table = item.table, pk, isDeletion } = met;
  const key = pk === undefined ? item.pk : JSON.parse(pk);
  const row = { schema: item.schema, table, pk: key, hlc: by };
  if (isDeletion || item.type === 'delete') return [[{ type: 'delete', ...row }]];
  const { column, value } = item;
  if (by === item.hlc && lost === undefined) return [[{ type: 'column', ...row, column, value }]];
  // Too long, or one of too many. To read it again would make a batch of losses dear.
  if (lost?.value === undefined) return 'unknown';
  return [[{ type: 'column', ...row, column, value: JSON.parse(lost.value) }]];
}

function toSet(siteId: SiteIdText, hlc: HlcText, items: Iterable<BatchItem>): WireChangeSet {
  const changes: WireChange[] = [];
  const schemaMigrations: WireMigration[] = [];
  for (const each of new Set(items)) {
    if ('ddl' in each) schemaMigrations.push(each);
    else changes.push(each);
  }
  return { siteId, transactionId: 'unapplied', hlc, changes, schemaMigrations };
}

/** What a filter has left. */
interface Seen {
  items: ReadonlySet<BatchItem>;
  /** The texts of what it has masked. */
  masked: ReadonlySet<string>;
}

async function seenOf(filter: ReadFilter, manager: SyncManager, set: WireChangeSet): Promise<Seen> {
  if (set.changes.length + set.schemaMigrations.length === 0) return NOTHING;
  // If the hook fails, all of it counts as hidden: the batch is stored and has to be answered.
  const [seen] = await filter([set], manager.tables.aliases).catch(() => []);
  if (seen === undefined) return NOTHING;
  const given = new Set(set.changes);
  const masked = new Set<string>();
  const note = (change: WireChange) => {
    if (!given.has(change)) masked.add(textOf(change));
  };
  await runByTurns(forEach(seen.changes, note));
  return { items: new Set<BatchItem>([...seen.changes, ...seen.schemaMigrations]), masked };
}

const NOTHING: Seen = { items: new Set(), masked: new Set() };

/** Whether the sender has sent just what it sees of the cell that is stored. */
function isMasked([stored, ...others]: Several, item: BatchItem, { masked }: Seen): boolean {
  if (stored === undefined || others.length > 0 || 'ddl' in stored || 'ddl' in item) return false;
  if (stored.type !== 'column' || item.type !== 'column' || stored.hlc !== item.hlc) return false;
  return masked.has(textOf({ ...stored, value: item.value }));
}

function textOf(change: WireChange): string {
  const { schema, table, pk, hlc } = change;
  const cell = change.type === 'column' ? [change.column, change.value] : [];
  return JSON.stringify([schema, table, pkIdentity(pk), hlc, ...cell]);
}
