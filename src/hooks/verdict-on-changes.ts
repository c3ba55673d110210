/** Reads the verdict of one module on change sets. */

import type { WireChangeSet } from '../protocol/schemas.ts';
import { type ChangeSet, encodeChangeSet } from '../protocol/types.ts';
import { decodeLazily, originOf, untouchedOrigin } from '../wire/lazy-change-set.ts';
import { readValidation } from './answers.ts';
import { OTHER_REJECTED, withoutTorn } from './atomic.ts';
import { refuseContradictions } from './contradictions.ts';
import { GivenBack } from './given-back.ts';
import type { Lineage } from './lineage.ts';
import type { ValidationResult } from './types.ts';

/** The verdict of the modules of a chain. */
export interface Judged extends ValidationResult {
  /**
   * The origins of its items, which are those of each change set's origin: see `untouchedOrigin`.
   */
  lineage: Lineage;
}

/**
 * To be called before the hook gets the change sets, since it may change them.
 * @param lineage gets the verdict
 * @returns reads the hook's answer, or throws an InvalidAnswer
 */
export function verdictReader(
  changeSets: readonly ChangeSet[],
  lineage: Lineage,
): (answer: unknown) => ValidationResult {
  const given = changeSets.map((set) => originOf(set) ?? encodeChangeSet(set));
  return (answer) => {
    const { approved, rejected, atomic } = readValidation(answer);
    const back = approved.map((set) => untouchedOrigin(set) ?? encodeChangeSet(set));
    if (rejected.length === 0 && isSame(given, back)) return { approved, rejected };
    const answers = new GivenBack(given, back);
    refuseContradictions(given, answers, rejected);
    const left = atomic ? withoutTorn(given, back, answers) : back;
    const others = isSame(left, back) ? [] : [OTHER_REJECTED];
    const said = [...rejected, ...others];
    lineage.judged(given, answers, left, said);
    return { approved: left.map(decodeLazily), rejected: said };
  };
}

function isSame(given: readonly WireChangeSet[], back: readonly WireChangeSet[]): boolean {
  return given.length === back.length && given.every((set, i) => set === back[i]);
}
