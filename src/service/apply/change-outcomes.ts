/**
 * The outcome of each change of a batch, for `onAfterApplyChanges`: as it was sent, in its order.
 */

import { decodeHlc } from '../../clock/hlc.ts';
import type { Unapplied } from '../../engine/merge/batch.ts';
import { toCompensation } from '../../engine/merge/compensation.ts';
import type { BatchItem } from '../../engine/merge/foreign-authors.ts';
import type { Identity } from '../../engine/records/head.ts';
import type { ChangeOutcome } from '../../hooks/types.ts';
import { itemsOf } from '../../hooks/verdicts/returned-changes.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import {
  type Change,
  decodeChange,
  decodeMigration,
  type RejectedChange,
  type SchemaMigration,
} from '../../protocol/types.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { Separated } from './corrections.ts';
import { foreignToRejected } from './rejections.ts';

export interface Merged {
  /** As the client sent them. */
  sent: readonly WireChangeSet[];
  /** What hooks have made of them. */
  corrected: Separated;
  /** Begins with one entry for each refused change and migration, in their order. */
  rejected: readonly RejectedChange[];
  unapplied: readonly Unapplied[];
  identity: Identity;
}

export function outcomesOf({
  sent,
  corrected,
  rejected,
  unapplied,
  identity,
}: Merged): ChangeOutcome[] {
  const rejectionByItem = new Map<BatchItem, RejectedChange>();
  for (const [i, item] of corrected.refused.flatMap(itemsOf).entries()) {
    const said = rejected[i];
    if (said !== undefined) rejectionByItem.set(item, said);
  }
  const unappliedByItem = new Map(unapplied.map((each) => [each.item, each]));
  // The merge has made compensations anew, so equal ones are other objects.
  const unappliedByPlace = new Map(unapplied.map((each) => [placeKey(each.item), each]));
  const rewritten = new Map(rewrittenOf(corrected, identity));
  const kept = new Set(corrected.changeSets.flatMap(itemsOf));

  return sent.flatMap((set) =>
    itemsOf(set).map((item): ChangeOutcome => {
      const of = { change: decode(item), transactionId: set.transactionId };
      const said = rejectionByItem.get(item);
      if (said !== undefined) return { ...of, ...toRejected(said) };
      if (kept.has(item)) {
        const lost = unappliedByItem.get(item);
        if (lost === undefined) return { ...of, outcome: 'applied', stored: of.change };
        return { ...of, ...toUnapplied(lost) };
      }
      const rewrite = rewritten.get(item);
      const lost =
        rewrite &&
        (unappliedByItem.get(rewrite.given) ?? unappliedByPlace.get(placeKey(rewrite.own)));
      if (lost !== undefined) return { ...of, ...toUnapplied(lost) };
      return { ...of, outcome: 'rewritten', stored: rewrite ? decode(rewrite.own) : of.change };
    }),
  );
}

function toRejected({ reason, code = 'REJECTED' }: RejectedChange) {
  return { outcome: 'rejected', reason, code } as const;
}

function toUnapplied(unapplied: Unapplied) {
  const { item, outcome, by } = unapplied;
  if (outcome === 'foreign') return toRejected(foreignToRejected(unapplied));
  if (by === undefined) return { outcome: 'lost' } as const;
  const to = decodeHlc(by);
  return by === item.hlc ? ({ outcome: 'known' } as const) : ({ outcome: 'lost', to } as const);
}

interface Rewrite {
  /** As the hooks returned it. */
  given: BatchItem;
  /** As it is stored: the coordinator's own change. */
  own: BatchItem;
}

/** For each item that was sent, its rewrite. */
function rewrittenOf(
  { compensations, rewrites }: Separated,
  identity: Identity,
): [BatchItem, Rewrite][] {
  const ownByGiven = new Map<BatchItem, BatchItem>();
  for (const set of compensations) {
    const own = itemsOf(toCompensation(set, identity));
    for (const [i, given] of itemsOf(set).entries()) ownByGiven.set(given, own[i] ?? given);
  }
  return [...rewrites].map(([sent, given]) => [
    sent,
    { given, own: ownByGiven.get(given) ?? given },
  ]);
}

/** @returns finds what was sent by what was merged in its place, for what hooks have rewritten */
export function sentByRewriteOf(
  corrected: Separated,
  identity: Identity,
): (own: BatchItem) => BatchItem | undefined {
  const sentByPlace = new Map<string, BatchItem>();
  for (const [sent, { own }] of rewrittenOf(corrected, identity))
    sentByPlace.set(placeKey(own), sent);
  return (own) => sentByPlace.get(placeKey(own));
}

function placeKey(item: BatchItem): string {
  const { schema, table, type, hlc } = item;
  const pk = 'pk' in item ? pkIdentity(item.pk) : 0;
  return JSON.stringify([hlc, schema, table, type, pk, type === 'column' ? item.column : 0]);
}

function decode(item: BatchItem): Change | SchemaMigration {
  return 'ddl' in item ? decodeMigration(item) : decodeChange(item);
}
