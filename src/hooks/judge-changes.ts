/** A validate hook's work, change by change. */

import type { Change, ChangeSet, RejectedChange } from '../wire/types.ts';
import type { MaybePromise, ValidationResult } from './types.ts';

/** Why a change may not be stored. */
export interface Refusal {
  reason: string;
  /** For programs; `REJECTED` if there is none. */
  code?: string;
}

/** `true` approves; a change is stored instead, as the coordinator's own; a reason rejects. */
export type ChangeVerdict = true | Change | Refusal;

export interface JudgeOptions {
  /** Whether one rejected change takes the others of its transaction with it. */
  atomic?: boolean;
}

/**
 * Asks `judge` about every change of a batch, one after the other, and makes the answer of
 * `onBeforeApplyChanges` of it. DDL is approved as it is.
 */
export async function judgeChanges(
  changeSets: readonly ChangeSet[],
  judge: (change: Change, changeSet: ChangeSet) => MaybePromise<ChangeVerdict>,
  { atomic = false }: JudgeOptions = {},
): Promise<ValidationResult> {
  const rejected: RejectedChange[] = [];
  const approved: ChangeSet[] = [];
  for (const changeSet of changeSets) {
    const changes: Change[] = [];
    for (const change of changeSet.changes) {
      const verdict = await judge(change, changeSet);
      if (verdict === true) changes.push(change);
      else if (isRefusal(verdict)) rejected.push({ ...placeOf(change), ...verdict });
      else changes.push(verdict);
    }
    const isLeft = changes.length > 0 || changeSet.schemaMigrations.length > 0;
    if (isLeft || changeSet.changes.length === 0) approved.push({ ...changeSet, changes });
  }
  return { approved, rejected, atomic };
}

function isRefusal(verdict: Change | Refusal): verdict is Refusal {
  return typeof verdict === 'object' && verdict !== null && 'reason' in verdict;
}

/** What names a change to the one who sent it. */
export function placeOf(change: Change): Omit<RejectedChange, 'reason'> {
  const { table, pk } = change;
  return change.type === 'column' ? { table, column: change.column, pk } : { table, pk };
}
