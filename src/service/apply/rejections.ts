/**
 * Explains to a client which of its changes were refused, by hooks or because another site has
 * dated them. There is one entry for each change, named as it was sent, even if the hook gave one
 * reason for a whole table, or none.
 */

import type { Unapplied } from '../../engine/merge/batch.ts';
import type { BatchItem } from '../../engine/merge/foreign-authors.ts';
import type { Lineage } from '../../hooks/verdicts/lineage.ts';
import { placeOfItem, type Reason, UNEXPLAINED } from '../../hooks/verdicts/rejected-entries.ts';
import { itemsOf } from '../../hooks/verdicts/returned-changes.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { decodeValue } from '../../protocol/values.ts';
import { forEach, type Steps, Stretch } from '../../wire/steps.ts';

const FOREIGN: Reason = {
  reason: 'another device has dated this change, and has to send it itself (sync.foreignAuthors)',
  code: 'FOREIGN_AUTHOR',
};

/** @param refused changes that were sent and that nothing replaces */
export function* explainRefused(
  refused: readonly WireChangeSet[],
  lineage: Lineage,
): Steps<RejectedChange[]> {
  const explained: RejectedChange[] = [];
  const stretch = new Stretch();
  for (const set of refused) {
    const explain = (item: BatchItem) =>
      explained.push(toRejected(item, set, lineage.reasonOf(item) ?? UNEXPLAINED));
    yield* forEach(itemsOf(set), explain, stretch);
  }
  // Also send the hook's entries that match no refused change.
  return explained.concat(lineage.hints);
}

/** @param refused changes that another site than the sender has dated */
export function* explainForeign(refused: readonly Unapplied[]): Steps<RejectedChange[]> {
  const explained: RejectedChange[] = [];
  yield* forEach(refused, (each) => explained.push(foreignToRejected(each)));
  return explained;
}

export function foreignToRejected(refused: Unapplied): RejectedChange {
  return toRejected(refused.item, refused, FOREIGN);
}

function toRejected(
  item: BatchItem,
  { transactionId }: { transactionId: string },
  { reason, code }: Reason,
): RejectedChange {
  const { schema, table, column, pk } = placeOfItem(item);
  return {
    ...{ reason, code, schema, table },
    ...(column === undefined ? {} : { column }),
    ...(pk === undefined ? {} : { pk: pk.map(decodeValue) }),
    transactionId,
  };
}
