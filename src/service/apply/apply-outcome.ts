/**
 * Turns the outcome of a batch into the answer for its client, and into what `onAfterApplyChanges`
 * is told.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { siteIdToText } from '../../clock/site-id.ts';
import type { Unapplied } from '../../engine/merge/batch.ts';
import { type BatchItem, withItems } from '../../engine/merge/foreign-authors.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { CallOrigin, ClientIdentity } from '../../hooks/types.ts';
import type { WireChange, WireMigration } from '../../protocol/schemas.ts';
import type { ApplyResult, RejectedChange } from '../../protocol/types.ts';
import type { Steps } from '../../wire/steps.ts';
import { readFilterOf } from '../delivery/read-filter.ts';
import { type Visible, winnerOf } from './conflicting.ts';
import type { Corrected } from './corrections.ts';
import { explainForeign } from './rejections.ts';

export function withRejected(
  result: ApplyResult,
  rejected: readonly RejectedChange[],
): ApplyResult {
  return rejected.length === 0 ? result : { ...result, rejected: [...rejected] };
}

/**
 * The result without what the client may not see. A change that lost against a hidden one counts as
 * applied, as if the hidden one had come later: otherwise the answer would reveal it.
 */
export function* withoutHidden(
  result: ApplyResult,
  byHooks: readonly RejectedChange[],
  unapplied: readonly Unapplied[],
  hidden: ReadonlySet<BatchItem>,
): Steps<ApplyResult> {
  const { applied, skipped, conflicts, transactions } = result;
  const counts = { applied, skipped, conflicts };
  const foreign: Unapplied[] = [];
  for (const each of unapplied) {
    const { item, outcome } = each;
    if (!hidden.has(item)) {
      if (outcome === 'foreign') foreign.push(each);
      continue;
    }
    counts.applied++;
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

/** For whom the hooks are invoked, and in which call. */
export interface Asking {
  hooks: HookChain;
  client: ClientIdentity;
  origin: CallOrigin;
}

/**
 * The changes that took no effect and that the client's read filter hides from it, or whose winners
 * it hides or masks.
 */
export async function hiddenOf(
  { hooks, client, origin }: Asking,
  manager: SyncManager,
  position: HlcText,
  unapplied: readonly Unapplied[],
): Promise<Visible> {
  const filter = readFilterOf(hooks, { who: () => client }, undefined, origin);
  if (filter === undefined) return { hidden: new Set(), isFiltered: false };
  const hidden = new Set(unapplied.map(({ item }) => item));
  if (hidden.size === 0) return { hidden, isFiltered: true };
  const changes: WireChange[] = [];
  const schemaMigrations: WireMigration[] = [];
  for (const item of hidden) {
    if ('ddl' in item) schemaMigrations.push(item);
    else changes.push(item);
  }
  const items = [...hidden];
  const winners = new Map(unapplied.map((each) => [each.item, winnerOf(each)]));
  for (const winner of winners.values()) if (winner !== undefined) changes.push(winner);
  const siteId = siteIdToText(client.siteId);
  const set = { siteId, transactionId: 'unapplied', hlc: position, changes, schemaMigrations };
  // If the hook fails, all of them count as hidden: the batch is stored and has to be answered.
  const [seen] = await filter([set], manager.tables.aliases).catch(() => []);
  const left = new Set<BatchItem>([...(seen?.changes ?? []), ...(seen?.schemaMigrations ?? [])]);
  for (const item of items) {
    const winner = winners.get(item);
    if (left.has(item) && (winner === undefined || left.has(winner))) hidden.delete(item);
  }
  return { hidden, isFiltered: true };
}
