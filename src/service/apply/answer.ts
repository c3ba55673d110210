/**
 * What is told of a stored batch: the hooks all of it, and its sender no more than it may know.
 * Most batches take effect as a whole, and then there is nothing to look for.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { BatchOutcome, Elsewhere, Unapplied } from '../../engine/merge/batch.ts';
import { toCompensation } from '../../engine/merge/compensation.ts';
import { withItems } from '../../engine/merge/foreign-authors.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { CallOrigin } from '../../hooks/types.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult, RejectedChange } from '../../protocol/types.ts';
import { runByTurns, type Steps } from '../../wire/steps.ts';
import { outcomesOf, sentByRewriteOf } from './change-outcomes.ts';
import {
  conflictingOf,
  elsewhereOf,
  isOvertaken,
  lossesOf,
  withConflicting,
} from './conflicting.ts';
import { drainPoint } from './drain.ts';
import { allHidden, type Hidden, hiddenOf, type Reading, shownElsewhere } from './hidden-losses.ts';
import type { ArrivedBatch, JudgedBatch } from './judging.ts';
import { explainForeign } from './rejections.ts';

/** A batch that is durable. */
export interface StoredBatch extends JudgedBatch {
  manager: SyncManager;
  outcome: BatchOutcome;
}

export function storedAs(
  { corrected, approved, rejected }: JudgedBatch,
  manager: SyncManager,
  outcome: BatchOutcome,
): StoredBatch {
  return { corrected, approved, rejected, manager, outcome };
}

/** What its sender is told of a batch, and asked next. */
export interface Told {
  result: ApplyResult;
  /** Ask the device for its changes after this position; `undefined`: there is no need to. */
  drainAfter: HlcText | undefined;
}

interface ToldLosses {
  /** Whether the sender may still know of them. To be asked right before they are sent. */
  areForNow(): Promise<boolean>;
  /** What it is told if it may not: as if nothing had been there. */
  withoutThem(): Promise<Told>;
}

/** A batch that is to be answered: see `readyAnswer`. */
export interface Applied extends Told {
  /** The device's limit of held rows is met: it has to start over once it has its answer. */
  isFull: boolean;
  /** `undefined` if it tells of no losses. */
  losses: ToldLosses | undefined;
}

/**
 * Makes an answer ready, which may take long: the right to read may end meanwhile.
 * @param make what is sent; called again if the result may not be told any more
 */
export async function readyAnswer<Made>(
  applied: Applied,
  make: (result: ApplyResult) => Made | Promise<Made>,
): Promise<Ready<Made>> {
  const { result, drainAfter, losses } = applied;
  const making = make(result);
  const made = making instanceof Promise ? await making : making;
  if (losses === undefined) return { made, drainAfter };
  const { areForNow } = losses;
  if (await areForNow()) return { made, drainAfter, mayGoOn: areForNow };
  const told = await losses.withoutThem();
  return { made: await make(told.result), drainAfter: told.drainAfter };
}

interface Ready<Made> extends Pick<Told, 'drainAfter'> {
  made: Made;
  /** To be asked before each part of it, if it is not sent at once. */
  mayGoOn?: () => Promise<boolean>;
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
  const { position, unapplied, elsewhere, full } = outcome;
  const isFull = full.some(({ site }) => site === sender.siteId);
  const drainPointOf = (told: ApplyResult) => {
    // By what it is told: `drainAfter` must not reveal hidden changes either. A refused change was
    // new as well, so the changes after it must not be skipped.
    const isNews = told.applied > 0 || rejected.length > 0;
    const kind = isNews ? 'news' : told.rejected !== undefined ? 'foreign' : 'known';
    return drainPoint(manager, sender.siteId, changeSets, kind);
  };
  if (unapplied.length + elsewhere.length === 0) {
    const asking = drainPointOf(result);
    const drainAfter = asking instanceof Promise ? await asking : asking;
    return { result, drainAfter, isFull, losses: undefined };
  }
  const from = { ...reading, sender, sent: approved.changeSets };
  const tellAllBut = async (hidden: Hidden, moved: readonly Elsewhere[]): Promise<Told> => {
    const counts =
      hidden.size > 0 ? await runByTurns(withoutHidden(result, stored, hidden)) : result;
    const known = unapplied.filter(({ item }) => !hidden.has(item));
    const losses = await runByTurns(lossesOf(asSent(known, stored), sender.siteId));
    const places = await runByTurns(elsewhereOf(moved, sender.siteId));
    const told = { ...counts, ...losses, ...places };
    return { result: told, drainAfter: await drainPointOf(told) };
  };
  return {
    ...(await tellAllBut(
      await hiddenOf(batch, manager, position, unapplied, from),
      await shownElsewhere(batch, manager, position, elsewhere, from),
    )),
    isFull,
    losses: {
      areForNow: askAgain(reading, batch.origin),
      withoutThem: () => tellAllBut(allHidden(manager, unapplied, from), []),
    },
  };
}

/**
 * Names what was overtaken as its sender did, where a hook had put something else in its place: a client takes
 * what is not named for stored.
 */
function asSent(
  unapplied: readonly Unapplied[],
  { corrected, manager: { identity } }: StoredBatch,
): readonly Unapplied[] {
  const isRewrite = (each: Unapplied) => isOvertaken(each) && identity.hlcs.has(each.item.hlc);
  if (corrected.rewrites.size === 0 || !unapplied.some(isRewrite)) return unapplied;
  const sentOf = sentByRewriteOf(corrected, identity);
  return unapplied.map((each) => {
    const sent = isRewrite(each) ? sentOf(each.item) : undefined;
    return sent === undefined ? each : Object.assign({}, each, { item: sent });
  });
}

/** Apart, so that whoever keeps it while the answer is sent does not keep the batch. */
function askAgain(
  { right, stamp, signal }: Omit<Reading, 'sender' | 'sent'>,
  origin: CallOrigin,
): () => Promise<boolean> {
  return async () => (await right.isGranted(signal, origin)) && right.isFor(stamp);
}

/**
 * Why a batch was refused. Whether a row has become too long depends on what is stored of it, so the
 * row is named only to a client that may read every row.
 */
export async function refusalOf(
  error: unknown,
  { right, signal }: Pick<Reading, 'right' | 'signal'>,
  origin: CallOrigin,
): Promise<unknown> {
  if (!(error instanceof SyncError) || error.unplaced === undefined) return error;
  if (!right.isFiltered && (await right.isGranted(signal, origin))) return error;
  return new SyncError(error.code, error.unplaced, { limit: error.limit });
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
