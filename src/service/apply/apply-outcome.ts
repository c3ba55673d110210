/**
 * Turns the outcome of a batch into the answer for its client, and into what `onAfterApplyChanges`
 * is told.
 */

import type { Unapplied } from '../../engine/merge/batch.ts';
import { withItems } from '../../engine/merge/foreign-authors.ts';
import type { ApplyResult, RejectedChange } from '../../protocol/types.ts';
import type { Steps } from '../../wire/steps.ts';
import type { Corrected } from './corrections.ts';
import type { Hidden } from './hidden-losses.ts';
import { explainForeign } from './rejections.ts';

export function withRejected(
  result: ApplyResult,
  rejected: readonly RejectedChange[],
): ApplyResult {
  return rejected.length === 0 ? result : { ...result, rejected: [...rejected] };
}

/** The result without what the client may not know of. */
export function* withoutHidden(
  result: ApplyResult,
  byHooks: readonly RejectedChange[],
  unapplied: readonly Unapplied[],
  hidden: Hidden,
): Steps<ApplyResult> {
  const { applied, skipped, conflicts, transactions } = result;
  const counts = { applied, skipped, conflicts };
  const foreign: Unapplied[] = [];
  for (const each of unapplied) {
    const { item, outcome } = each;
    const told = hidden.get(item) ?? outcome;
    if (told === 'foreign') foreign.push(each);
    else counts[told]++;
    if (outcome !== 'foreign') counts[outcome]--;
  }
  return withRejected({ ...counts, transactions }, byHooks.concat(yield* explainForeign(foreign)));
}

/** The approved changes without those that the merge refused as foreign. */
export function withoutForeign(approved: Corrected, foreign: readonly Unapplied[]): Corrected {
  if (foreign.length === 0) return approved;
  const refused = new Set(foreign.map(({ item }) => item));
  return { ...approved, changeSets: withItems(approved.changeSets, (item) => !refused.has(item)) };
}
