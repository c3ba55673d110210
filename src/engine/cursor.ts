/** Where in the log to go on for a client that says how far it has got. */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import { hlcSite } from '../clock/site-id.ts';
import { SyncError } from '../errors.ts';
import type { Identity } from './head.ts';
import { wallTimeToHlc } from './position-clock.ts';

export interface CursorContext {
  identity: Identity;
  /** Up to here deletions have been forgotten. */
  horizon: HlcText;
  /** The server's wall time, in milliseconds. */
  nowMs: number;
  maxClockDriftMs: number;
}

/**
 * @param sinceHLC the client has everything up to it
 * @throws SyncError SNAPSHOT_REQUIRED
 */
export function toCursor(sinceHLC: HlcText, context: CursorContext): HlcText {
  const { identity, horizon, nowMs, maxClockDriftMs } = context;
  const { siteId, siteIdText, replacedAt } = identity;
  const isOwn = hlcSite(sinceHLC) === siteIdText;
  // Another clock's HLC only tells a time, and that only roughly: rather too early.
  const cursor = isOwn
    ? sinceHLC
    : wallTimeToHlc(Math.min(hlcWallTimeMs(sinceHLC), nowMs) - maxClockDriftMs, siteId);
  if (!isOwn && replacedAt !== undefined && compareHlc(cursor, replacedAt) < 0) {
    throw new SyncError(
      'SNAPSHOT_REQUIRED',
      'this database has been replaced since by another state of it: a snapshot is needed',
    );
  }
  if (compareHlc(cursor, horizon) < 0) {
    throw new SyncError(
      'SNAPSHOT_REQUIRED',
      'deletions after this position have been forgotten (sync.tombstoneTTL): a snapshot is needed',
    );
  }
  return cursor;
}
