/**
 * What a client is told of the changes that were not let through, by hooks or since they were not its
 * own: one entry for each, that names it as it was sent. A hook may say little (a reason for a whole table) or
 * nothing at all.
 */

import type { BatchItem } from '../engine/merge/foreign-authors.ts';
import { itemsOf } from '../hooks/given-back.ts';
import type { Lineage } from '../hooks/lineage.ts';
import { type Place, placeOfItem, type Reason, UNEXPLAINED } from '../hooks/said-entries.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import type { RejectedChange } from '../protocol/types.ts';
import { decodeValue } from '../protocol/values.ts';

const FOREIGN: Reason = {
  reason: 'another device has dated this change, and has to send it itself (sync.foreignAuthors)',
  code: 'FOREIGN_AUTHOR',
};

/** @param refused what was sent, and nothing stands for any more */
export function explainRefused(
  refused: readonly WireChangeSet[],
  lineage: Lineage,
): RejectedChange[] {
  const explained = refused
    .flatMap(itemsOf)
    .map((item) => toRejected(placeOfItem(item), lineage.reasonOf(item) ?? UNEXPLAINED));
  // What speaks for no change that was refused is still something that the client was to hear.
  return explained.concat(lineage.hints);
}

/** @param items what another site than the sender has dated */
export function explainForeign(items: readonly BatchItem[]): RejectedChange[] {
  return items.map((item) => toRejected(placeOfItem(item), FOREIGN));
}

function toRejected({ table, column, pk }: Place, { reason, code }: Reason): RejectedChange {
  return {
    reason,
    code,
    table,
    ...(column === undefined ? {} : { column }),
    ...(pk === undefined ? {} : { pk: pk.map(decodeValue) }),
  };
}
