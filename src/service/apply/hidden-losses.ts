/**
 * Decides what the sender of a batch may know of that which took no effect, for the counts of the
 * answer as for its lists. What a change has lost against is hidden if its sender may not read it,
 * and if nobody can tell: then the answer is the one that it would get were nothing there.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { type HlcsOfSite, siteIdToText } from '../../clock/site-id.ts';
import type { Unapplied } from '../../engine/merge/batch.ts';
import type { BatchItem, Sender } from '../../engine/merge/foreign-authors.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { itemsOf } from '../../hooks/verdicts/returned-changes.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { type ReadRight, readerOf, type Stamp } from '../access/rights.ts';
import { type ReadFilter, readFilterOf } from '../delivery/read-filter.ts';
import { isOvertaken } from './conflicting.ts';
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

/** @param position of the database, after the batch */
export async function hiddenOf(
  asking: Asking,
  manager: SyncManager,
  position: HlcText,
  unapplied: readonly Unapplied[],
  reading: Reading,
): Promise<Hidden> {
  const { right, stamp, signal } = reading;
  const ifUnbeaten = ruleOf(reading, manager.identity.hlcs);
  const all = () => new Map(unapplied.map(({ item }) => [item, ifUnbeaten(item)]));
  try {
    // Given answers are not logged: the client has not asked to read.
    await right.confirm(signal, asking.origin, []);
  } catch {
    return all();
  }
  const filter = readFilterOf(asking.hooks, readerOf(asking.client), undefined, asking.origin);
  const hidden = new Map<BatchItem, Unbeaten>();
  if (filter !== undefined) {
    const winners = winnersOf(unapplied, manager);
    const left = await seenOf(filter, asking, manager, position, winners);
    for (const [item, winner] of winners) {
      // One that is hidden itself isn't called foreign: a client may push back what was masked for it.
      if (!left.has(item)) hidden.set(item, 'applied');
      else if (winner === 'unknown' || !left.has(winner)) hidden.set(item, ifUnbeaten(item));
    }
  }
  // What it may see may have changed since it sent the batch.
  return right.isFor(stamp) ? hidden : all();
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

/** For each item what has won; the item itself where nothing has. */
type Winners = ReadonlyMap<BatchItem, BatchItem | 'unknown'>;

function winnersOf(unapplied: readonly Unapplied[], manager: SyncManager): Winners {
  /** One drop may void many changes. */
  const voiding = new Map<string, WireMigration | undefined>();
  return new Map(unapplied.map((each) => [each.item, winnerOf(each)]));

  function winnerOf(each: Unapplied): BatchItem | 'unknown' {
    const { item, outcome, by, lost, isVoid = false } = each;
    if ('ddl' in item || outcome === 'foreign' || by === item.hlc) return item;
    if (by === undefined) return isVoid ? 'unknown' : item;
    const { type, schema, table, pk } = item;
    if (isVoid) {
      const key = JSON.stringify([schema, table, by]);
      if (!voiding.has(key)) voiding.set(key, manager.tables.voidingDdl(item, by));
      return voiding.get(key) ?? 'unknown';
    }
    if (isOvertaken(each)) return { type: 'delete', schema, table, pk, hlc: by };
    // Too long, or one of too many. To read it again would make a batch of losses dear.
    if (lost?.value === undefined || type !== 'column') return 'unknown';
    const { column } = item;
    return { type, schema, table, pk, column, value: JSON.parse(lost.value), hlc: by };
  }
}

/** What the filter leaves of items and winners. */
async function seenOf(
  filter: ReadFilter,
  { client }: Asking,
  manager: SyncManager,
  position: HlcText,
  winners: Winners,
): Promise<ReadonlySet<BatchItem>> {
  const changes: WireChange[] = [];
  const schemaMigrations: WireMigration[] = [];
  for (const each of new Set([...winners.keys(), ...winners.values()])) {
    if (each === 'unknown') continue;
    if ('ddl' in each) schemaMigrations.push(each);
    else changes.push(each);
  }
  const siteId = siteIdToText(client.siteId);
  const set = { siteId, transactionId: 'unapplied', hlc: position, changes, schemaMigrations };
  // If the hook fails, all of them count as hidden: the batch is stored and has to be answered.
  const [seen] = await filter([set], manager.tables.aliases).catch(() => []);
  return new Set<BatchItem>([...(seen?.changes ?? []), ...(seen?.schemaMigrations ?? [])]);
}
