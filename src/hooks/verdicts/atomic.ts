/** Atomic verdicts: if one change of a change set is rejected, all of them are. */

import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import type { GivenBack, WireItem } from './returned-changes.ts';

/**
 * It names no change, so it is used only for changes for which the module has no entry of its own.
 */
export const OTHER_REJECTED: RejectedChange = {
  reason: 'another change of its transaction was rejected',
  code: 'REJECTED',
};

/**
 * The change sets of a hook's answer, without changes of sets of which it has returned only a part.
 */
export function withoutTorn(
  given: readonly WireChangeSet[],
  back: readonly WireChangeSet[],
  answers: GivenBack,
): readonly WireChangeSet[] {
  const torn = new Set<WireItem>();
  for (const { changes, schemaMigrations } of given) {
    const items = [...changes, ...schemaMigrations];
    if (items.every(answers.isAnswered)) continue;
    for (const item of items) torn.add(item);
  }
  if (torn.size === 0) return back;
  const stays = (item: WireItem) => {
    const original = answers.originalOf(item);
    return original === undefined || !torn.has(original);
  };
  return back.flatMap((set) => {
    const changes = set.changes.filter(stays);
    const schemaMigrations = set.schemaMigrations.filter(stays);
    const before = set.changes.length + set.schemaMigrations.length;
    const left = changes.length + schemaMigrations.length;
    if (left === before) return [set];
    return left === 0 ? [] : [{ ...set, changes, schemaMigrations }];
  });
}
