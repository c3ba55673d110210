/** Where in the log a reader is, and from where to serve a client that says how far it has got. */

import { compareHlc, type HlcText, hlcWallTimeMs, minHlc } from '../../clock/hlc.ts';
import { hlcSite } from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { Identity } from '../records/head.ts';
import { wallTimeToHlc, zeroPosition } from '../records/position-clock.ts';
import { isSameForgets, unmark } from '../records/position-marks.ts';

/** How far a reader of the log has got. */
export interface LogCursor {
  /** It has everything up to it. */
  position: HlcText;
  /** `Head.forgets` when it began. It may never receive deletions that were forgotten since. */
  forgets: number;
  /** It has no rows at all, so it needs no deletions. */
  isFresh: boolean;
}

export interface CursorContext {
  identity: Identity;
  /** Deletions up to here have been forgotten. Read after `forgets`. */
  horizon: HlcText;
  /** `Head.forgets` as of now. */
  forgets: number;
  /** The newest position. */
  end: HlcText;
  /** The server's wall time, in milliseconds. */
  nowMs: number;
  maxClockDriftMs: number;
}

/** The cursor of a reader that has nothing. */
export function freshCursor({ siteId }: Identity, forgets: number): LogCursor {
  return { position: zeroPosition(siteId), forgets, isFresh: true };
}

/**
 * @param sinceHLC the client has everything up to it
 * @throws SyncError SNAPSHOT_REQUIRED
 */
export function toCursor(sinceHLC: HlcText, context: CursorContext): LogCursor {
  const { identity, horizon, forgets, end, nowMs, maxClockDriftMs } = context;
  const { siteId, siteIdText, replacedAt } = identity;
  const own = hlcSite(sinceHLC) === siteIdText ? unmark(sinceHLC) : undefined;
  // The HLC of another clock gives only a time, give or take the drift: begin too early, not too
  // late.
  const said =
    own?.position ??
    wallTimeToHlc(Math.min(hlcWallTimeMs(sinceHLC), nowMs) - maxClockDriftMs, siteId);
  if (own === undefined && replacedAt !== undefined && compareHlc(said, replacedAt) < 0) {
    throw new SyncError(
      'SNAPSHOT_REQUIRED',
      'this database has been replaced since by another state of it: a snapshot is needed',
    );
  }
  // A reader that comes back for the next page has missed nothing if nothing was forgotten
  // meanwhile.
  const isUnderWay = own?.forgets !== undefined && isSameForgets(own.forgets, forgets);
  if (compareHlc(said, horizon) < 0 && !isUnderWay) throw forgottenError();
  // A reader ahead of the log (it knew a server that is gone) must not miss what is written from
  // now on.
  return { position: minHlc(said, end), forgets, isFresh: false };
}

/**
 * To be called after a page was read and before it is used, with what the store says by then. A
 * change that is missing from the page had left the log by then, and the transaction that removed
 * it counted that in `forgets`.
 * @param began where the page begins
 * @throws SyncError SNAPSHOT_REQUIRED, if the reader could have missed something
 */
export function refuseIfForgotten(
  began: LogCursor,
  now: { forgets: number; horizon: HlcText },
): void {
  if (began.isFresh || now.forgets === began.forgets) return;
  if (compareHlc(began.position, now.horizon) < 0) throw forgottenError();
}

function forgottenError(): SyncError {
  return new SyncError(
    'SNAPSHOT_REQUIRED',
    'deletions after this position have been forgotten (sync.tombstoneTTL): a snapshot is needed',
  );
}
