/** A batch of one client, and its result. */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult } from '../../protocol/types.ts';
import type { BatchItem, Sender } from './foreign-authors.ts';
import type { Outcome } from './foreign-changes.ts';
import type { FullHolder } from './held-bound.ts';
import type { Loss } from './lost-cells.ts';

/** A batch of one client, as the hooks have left it. */
export interface Batch {
  /** Who sent it; without one, authors are not checked. */
  sender?: Sender | undefined;
  changeSets: readonly WireChangeSet[];
  /** The coordinator's own, in answer to some of them. */
  answers: readonly WireChangeSet[];
  /** Refused change sets: their site gets reverts. */
  refused: readonly WireChangeSet[];
  /** A transaction of the coordinator's own, which is dated when it is merged (`UNDATED`). */
  own?: readonly WireChange[];
  /** Called right before the commit; if it throws, the batch is not stored. */
  admit?: (() => void) | undefined;
  /** The same, called whenever other work has had its turn. */
  goOn?: (() => void) | undefined;
  /** The newest position when the hooks decided. If the log has grown since, the merge fails. */
  expected?: HlcText | undefined;
}

/** The result of a batch. */
export interface BatchOutcome
  extends Pick<ApplyResult, 'applied' | 'skipped' | 'conflicts' | 'transactions'> {
  /** The newest position in the log after it. */
  position: HlcText;
  /** Items that took no effect, and are not stored. */
  unapplied: Unapplied[];
  /** Sites that have to start over, since their held rows exceed a limit. */
  full: readonly FullHolder[];
}

export interface Unapplied extends Loss {
  item: BatchItem;
  /** Of its change set. */
  transactionId: string;
  /** `foreign`: the sender may not send it; see `foreign-authors.ts`. */
  outcome: Exclude<Outcome, 'applied'>;
}

export function emptyOutcome(transactions: number): BatchOutcome {
  const counts = { applied: 0, skipped: 0, conflicts: 0, transactions };
  return { ...counts, position: HLC_MIN, unapplied: [], full: [] };
}

/** Counts the outcome of one item of a change set. */
export function count(
  result: BatchOutcome,
  { transactionId }: Pick<WireChangeSet, 'transactionId'>,
  item: BatchItem,
  outcome: Outcome,
  loss: Loss = {},
): void {
  if (outcome !== 'applied') result.unapplied.push({ item, transactionId, outcome, ...loss });
  if (outcome !== 'foreign') result[outcome]++;
}
