/** What the service makes of the answer of one validate hook. */

import { Lineage } from '../../src/hooks/verdicts/lineage.ts';
import { readVerdictInSteps } from '../../src/hooks/verdicts/verdict-on-changes.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { ChangeSet, RejectedChange } from '../../src/protocol/types.ts';
import { type Separated, separateCorrections } from '../../src/service/apply/corrections.ts';
import { explainRefused } from '../../src/service/apply/rejections.ts';
import { runAtOnce } from '../../src/wire/steps.ts';

function judge(
  sent: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
  rejected: readonly RejectedChange[],
) {
  const lineage = new Lineage();
  const steps = readVerdictInSteps(sent, { approved, rejected }, lineage);
  return { left: runAtOnce(steps).approved, lineage };
}

/** @param approved may share nothing with what was sent */
export function separate(
  sent: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): Separated {
  const { left, lineage } = judge(sent, approved, []);
  return runAtOnce(separateCorrections(sent, left, lineage));
}

/** @param sent of which nothing was approved */
export function explain(
  sent: readonly WireChangeSet[],
  said: readonly RejectedChange[],
): RejectedChange[] {
  return runAtOnce(explainRefused(sent, judge(sent, [], said).lineage));
}
