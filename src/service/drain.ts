/**
 * Where to ask a device to go on sending. Today's clients push one batch of about 1,000
 * changes and then wait for the next local edit; and after a bootstrap they first push back
 * everything that they have just received.
 */

import { type HlcText, maxHlc } from '../clock/hlc.ts';
import { type SiteId, siteIdToText } from '../clock/site-id.ts';
import { newestHlc } from '../engine/merge/drift.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';

/** A batch of this size may be one of several. */
const LARGE_BATCH_CHANGES = 500;

/**
 * What a batch was: the site's own `news`; all `known`; or `foreign`, of which some was new, but not
 * the site's to bring.
 */
export type BatchKind = 'news' | 'known' | 'foreign';

/** @returns the HLC after which to ask, or `undefined` if there is no reason to ask */
export async function drainPoint(
  manager: SyncManager,
  site: SiteId,
  changeSets: readonly WireChangeSet[],
  kind: BatchKind,
): Promise<HlcText | undefined> {
  if (kind === 'news' && countChanges(changeSets) < LARGE_BATCH_CHANGES) return undefined;
  const newest = newestHlc(changeSets);
  if (kind !== 'known' || newest === undefined) return newest;
  // Nothing new: skip all that it could be pushing back. At least the batch itself, so that
  // each question moves on.
  const { authored = newest, snapshot = newest } = await manager.sites.state(siteIdToText(site));
  return maxHlc(newest, maxHlc(authored, snapshot));
}

/** As `limits.changesPerBatch` counts: a set without any is work, too. */
export function weighChanges(changeSets: readonly WireChangeSet[]): number {
  return changeSets.reduce((sum, set) => sum + Math.max(1, countChanges([set])), 0);
}

export function countChanges(changeSets: readonly WireChangeSet[]): number {
  return changeSets.reduce(
    (sum, { changes, schemaMigrations }) => sum + changes.length + schemaMigrations.length,
    0,
  );
}
