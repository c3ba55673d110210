/**
 * The clock of a database's positions: strictly rising, whatever the wall clock does.
 *
 * It uses only the server's wall time, so that no client's clock can push positions ahead. If the
 * wall clock jumps back, positions count on from the last one.
 */

import {
  COUNTER_MAX,
  encodeHlc,
  type HlcText,
  hlcAtTime,
  hlcCounter,
  hlcWallTimeMs,
} from '../../clock/hlc.ts';
import type { SiteId } from '../../clock/site-id.ts';

/** The latest time that a clock can show: the end of ECMAScript's. */
const CLOCK_MS_MAX = 8_640_000_000_000_000;

/** Whether a clock, or one that has counted on from it, can have given the position. */
export function isOfClock(position: HlcText): boolean {
  return hlcWallTimeMs(position) <= CLOCK_MS_MAX;
}

/** @returns the position after `last`, of the same site, as near to `nowMs` as order allows */
export function nextPosition(last: HlcText, nowMs: number): HlcText {
  const lastMs = hlcWallTimeMs(last);
  const now = Math.max(0, Math.floor(nowMs));
  if (now > lastMs) return hlcAtTime(last, now, 0);
  const counter = hlcCounter(last);
  // The counter carries into the wall time rather than repeat or stop.
  return counter < COUNTER_MAX
    ? hlcAtTime(last, lastMs, counter + 1)
    : hlcAtTime(last, lastMs + 1, 0);
}

/** The position with the same time and counter, of another site. */
export function asOfSite(position: HlcText, siteId: SiteId): HlcText {
  return hlcAtTime(zeroPosition(siteId), hlcWallTimeMs(position), hlcCounter(position));
}

/** The position of a database that holds nothing yet. */
export function zeroPosition(siteId: SiteId): HlcText {
  return encodeHlc({ wallTime: 0n, counter: 0, siteId, opSeq: 0 });
}

/** The first HLC that a site's clock could give at a wall time. */
export function wallTimeToHlc(wallTimeMs: number, siteId: SiteId): HlcText {
  const wallTime = BigInt(Math.max(0, Math.floor(wallTimeMs)));
  return encodeHlc({ wallTime, counter: 0, siteId, opSeq: 0 });
}
