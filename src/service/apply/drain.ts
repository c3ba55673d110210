/**
 * Decides from which position to ask a device for more of its changes. Today's clients push one
 * batch of about 1,000 changes and then wait for the next local edit. After a bootstrap they first
 * push back all that they have received.
 */

import { type HlcText, maxHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import { newestHlc } from '../../engine/merge/drift.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';

/** A batch of this size may be one of several. */
const LARGE_BATCH_CHANGES = 500;

/**
 * What a batch brought: `news` of the site's own; only `known` changes; or `foreign` changes, new
 * ones that the site may not send.
 */
export type BatchKind = 'news' | 'known' | 'foreign';

/** @returns the HLC after which to ask, or `undefined` if there is no need to ask; mostly at once */
export function drainPoint(
  manager: SyncManager,
  site: SiteIdText,
  changeSets: readonly WireChangeSet[],
  kind: BatchKind,
): HlcText | undefined | Promise<HlcText> {
  if (kind === 'news' && countChanges(changeSets) < LARGE_BATCH_CHANGES) return undefined;
  const newest = newestHlc(changeSets);
  return kind !== 'known' || newest === undefined ? newest : pastAll(manager, site, newest);
}

async function pastAll(manager: SyncManager, site: SiteIdText, newest: HlcText): Promise<HlcText> {
  // Skip everything that the device may be pushing back, and at least this batch, so that it gets
  // on.
  const { authored = newest, snapshot = newest } = await manager.sites.state(site);
  return maxHlc(newest, maxHlc(authored, snapshot));
}

/** Counts as `limits.changesPerBatch` does: an empty change set counts as one. */
export function weighChanges(changeSets: readonly WireChangeSet[]): number {
  return changeSets.reduce((sum, set) => sum + Math.max(1, countChanges([set])), 0);
}

export function countChanges(changeSets: readonly WireChangeSet[]): number {
  return changeSets.reduce(
    (sum, { changes, schemaMigrations }) => sum + changes.length + schemaMigrations.length,
    0,
  );
}
