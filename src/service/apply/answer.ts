/**
 * What is told of a stored batch: the hooks all of it, and its sender no more than it may know.
 * Most batches take effect as a whole, and then there is nothing to look for.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { BatchOutcome, Unapplied } from '../../engine/merge/batch.ts';
import { toCompensation } from '../../engine/merge/compensation.ts';
import { withItems } from '../../engine/merge/foreign-authors.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult, RejectedChange } from '../../protocol/types.ts';
import { runByTurns, type Steps } from '../../wire/steps.ts';
import { drainPoint } from '../delivery/drain.ts';
import { outcomesOf } from './change-outcomes.ts';
import { conflictingOf, lossesOf, withConflicting } from './conflicting.ts';
import { type Hidden, hiddenOf, type Reading } from './hidden-losses.ts';
import type { ArrivedBatch, JudgedBatch } from './judging.ts';
import { explainForeign } from './rejections.ts';

/** A batch that is durable. */
export interface StoredBatch extends JudgedBatch {
  manager: SyncManager;
  outcome: BatchOutcome;
}

/** The result of a batch, and what to ask of the device next. */
export interface Applied {
  result: ApplyResult;
  /** Ask the device for its changes after this position; `undefined`: there is no need to. */
  drainAfter: HlcText | undefined;
  /** The device's limit of held rows is met: it has to start over once it has its answer. */
  isFull: boolean;
}

/** The counts of a batch, and what was refused of it; at once, unless that is much. */
export function resultOf(
  { outcome, rejected }: StoredBatch,
  transactions: number,
): ApplyResult | Promise<ApplyResult> {
  const { applied, skipped, conflicts, unapplied } = outcome;
  const counts = { applied, skipped, conflicts, transactions };
  if (unapplied.length === 0) return withRejected(counts, rejected);
  return runByTurns(withForeign(counts, rejected, foreignOf(unapplied)));
}

function* withForeign(
  counts: ApplyResult,
  rejected: readonly RejectedChange[],
  foreign: readonly Unapplied[],
): Steps<ApplyResult> {
  return withRejected(counts, rejected.concat(yield* explainForeign(foreign)));
}

/** For `onAfterApplyChanges`: what is stored of the batch, and what became of each change. */
export function toldOf(
  { manager: { identity }, corrected, approved, rejected, outcome }: StoredBatch,
  sent: readonly WireChangeSet[],
  result: ApplyResult,
) {
  const { unapplied, position } = outcome;
  const foreign = new Set(foreignOf(unapplied).map(({ item }) => item));
  const stored =
    foreign.size === 0
      ? approved.changeSets
      : withItems(approved.changeSets, (item) => !foreign.has(item));
  const own = approved.compensations.map((set) => toCompensation(set, identity));
  return {
    changeSets: [...stored, ...own],
    result: withConflicting(result, conflictingOf(unapplied)),
    position: result.applied > 0 ? position : undefined,
    outcomes: () => outcomesOf({ sent, corrected, rejected, unapplied, identity }),
  };
}

/** What its sender is answered. */
export async function answerOf(
  batch: ArrivedBatch,
  stored: StoredBatch,
  result: ApplyResult,
  reading: Omit<Reading, 'sender' | 'sent'>,
): Promise<Applied> {
  const { sender, changeSets } = batch;
  const { manager, outcome, approved, rejected } = stored;
  const { position, unapplied, full } = outcome;
  const isFull = full.some(({ site }) => site === sender.siteId);
  let told = result;
  if (unapplied.length > 0) {
    const from = { ...reading, sender, sent: approved.changeSets };
    const hidden = await hiddenOf(batch, manager, position, unapplied, from);
    if (hidden.size > 0) told = await runByTurns(withoutHidden(result, stored, hidden));
    const known = unapplied.filter(({ item }) => !hidden.has(item));
    told = { ...told, ...(await runByTurns(lossesOf(known, sender.siteId))) };
  }
  // By what it is told: `drainAfter` must not reveal hidden changes either. A refused change was
  // new as well, so the changes after it must not be skipped.
  const isNews = told.applied > 0 || rejected.length > 0;
  const kind = isNews ? 'news' : told.rejected !== undefined ? 'foreign' : 'known';
  const drainAfter = await drainPoint(manager, sender.siteId, changeSets, kind);
  return { result: told, drainAfter, isFull };
}

function withRejected(result: ApplyResult, rejected: readonly RejectedChange[]): ApplyResult {
  return rejected.length === 0 ? result : { ...result, rejected: [...rejected] };
}

function foreignOf(unapplied: readonly Unapplied[]): Unapplied[] {
  return unapplied.filter(({ outcome }) => outcome === 'foreign');
}

/** The result without what the client may not know of. */
function* withoutHidden(
  { applied, skipped, conflicts, transactions }: ApplyResult,
  { outcome: { unapplied }, rejected }: StoredBatch,
  hidden: Hidden,
): Steps<ApplyResult> {
  const counts = { applied, skipped, conflicts };
  const foreign: Unapplied[] = [];
  for (const each of unapplied) {
    const { item, outcome } = each;
    const told = hidden.get(item) ?? outcome;
    if (told === 'foreign') foreign.push(each);
    else counts[told]++;
    if (outcome !== 'foreign') counts[outcome]--;
  }
  return yield* withForeign({ ...counts, transactions }, rejected, foreign);
}
