/** What became of each change of a batch, for hooks that are told of it: as it was sent, in its order. */

import { decodeHlc } from '../clock/hlc.ts';
import { toAuthored } from '../engine/merge/compensation.ts';
import type { BatchItem } from '../engine/merge/foreign-authors.ts';
import type { Unapplied } from '../engine/merge/merge-transaction.ts';
import type { Identity } from '../engine/records/head.ts';
import type { ChangeOutcome } from '../hooks/types.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import {
  type Change,
  decodeChange,
  decodeMigration,
  type RejectedChange,
  type SchemaMigration,
} from '../protocol/types.ts';
import { pkIdentity } from '../protocol/values.ts';
import type { Corrected } from './corrections.ts';
import { explainForeign } from './rejections.ts';

export interface Merged {
  /** As the client sent them. */
  sent: readonly WireChangeSet[];
  /** What hooks made of them, whosever it is. */
  corrected: Corrected;
  /** First of all one entry for each change and migration that was refused, in their order. */
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
  // The answers were made once more when they were merged: the same, in other objects.
  const unappliedByPlace = new Map(unapplied.map((each) => [placeKey(each.item), each]));
  const rewrites = new Rewrites(corrected.authored, identity);
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
      const rewrite = rewrites.take(item);
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

function toUnapplied({ item, outcome, by }: Unapplied) {
  if (outcome === 'foreign') {
    const [said] = explainForeign([item]);
    if (said !== undefined) return toRejected(said);
  }
  if (by === undefined) return { outcome: 'lost' } as const;
  const to = decodeHlc(by);
  return by === item.hlc ? ({ outcome: 'known' } as const) : ({ outcome: 'lost', to } as const);
}

/** What hooks gave back in the place of what was sent, by the HLC that it answers. */
class Rewrites {
  readonly #left = new Map<string, { given: BatchItem; own: BatchItem }[]>();

  constructor(authored: readonly WireChangeSet[], identity: Identity) {
    for (const set of authored) {
      const own = itemsOf(toAuthored(set, identity));
      for (const [i, given] of itemsOf(set).entries()) {
        const known = this.#left.get(given.hlc) ?? [];
        this.#left.set(given.hlc, known);
        known.push({ given, own: own[i] ?? given });
      }
    }
  }

  take({ hlc }: BatchItem): { given: BatchItem; own: BatchItem } | undefined {
    return this.#left.get(hlc)?.shift();
  }
}

function itemsOf({ changes, schemaMigrations }: WireChangeSet): BatchItem[] {
  return [...changes, ...schemaMigrations];
}

function placeKey(item: BatchItem): string {
  const { schema, table, type, hlc } = item;
  const pk = 'pk' in item ? pkIdentity(item.pk) : 0;
  return JSON.stringify([hlc, schema, table, type, pk, type === 'column' ? item.column : 0]);
}

function decode(item: BatchItem): Change | SchemaMigration {
  return 'ddl' in item ? decodeMigration(item) : decodeChange(item);
}
