/** Reads the verdict of one module on change sets. */

import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { untouchedOrigin } from '../../wire/lazy-change-set.ts';
import { runByTurns, type Steps } from '../../wire/steps.ts';
import { isObject } from '../invalid-answer.ts';
import { readValidation, toUnreadVerdict, type UnreadVerdict } from './answers.ts';
import { OTHER_REJECTED, withoutTorn } from './atomic.ts';
import { refuseContradictions } from './contradictions.ts';
import type { Lineage } from './lineage.ts';
import { GivenBack } from './returned-changes.ts';

/** What modules have left of change sets, and said of the others. */
export interface Left {
  /** An unchanged change set is the same object, and so are all if the hook has changed none. */
  approved: readonly WireChangeSet[];
  rejected: readonly RejectedChange[];
}

/** The verdict of the modules of a chain. */
export interface Judged extends Left {
  /** The origins of all items of `approved`. */
  lineage: Lineage;
}

/**
 * Reads the verdict of a hook on the change sets that it was given.
 * @param lineage gets the verdict
 * @throws InvalidAnswer
 */
export function readVerdict(
  given: readonly WireChangeSet[],
  answer: unknown,
  lineage: Lineage,
): Left | Promise<Left> {
  const unread = toUnreadVerdict(answer);
  // Most verdicts: this costs a tenth of what follows.
  if (isUntouched(given, unread)) return { approved: given, rejected: [] };
  return runByTurns(readVerdictInSteps(given, unread, lineage));
}

function isUntouched(
  given: readonly WireChangeSet[],
  { approved, rejected }: UnreadVerdict,
): boolean {
  if (rejected.length > 0 || approved.length !== given.length) return false;
  return given.every((set, i) => {
    const back = approved[i];
    return isObject(back) && untouchedOrigin(back) === set;
  });
}

/** The same, whether the hook has touched anything or not. */
export function* readVerdictInSteps(
  given: readonly WireChangeSet[],
  unread: UnreadVerdict,
  lineage: Lineage,
): Steps<Left> {
  const { approved: back, rejected, atomic } = yield* readValidation(unread);
  if (rejected.length === 0 && isSame(given, back)) return { approved: given, rejected };
  const answers = new GivenBack();
  yield* answers.match(given, back);
  yield* refuseContradictions(given, answers, rejected);
  const left = atomic ? withoutTorn(given, back, answers) : back;
  const others = isSame(left, back) ? [] : [OTHER_REJECTED];
  const said = [...rejected, ...others];
  yield* lineage.judged(given, answers, left, said);
  return { approved: left, rejected: said };
}

function isSame(given: readonly WireChangeSet[], back: readonly WireChangeSet[]): boolean {
  return given.length === back.length && given.every((set, i) => set === back[i]);
}
