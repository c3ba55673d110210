/**
 * The clock of a database's positions: strictly rising, whatever the wall clock does.
 *
 * It uses only the server's wall time, so that no client's clock can push positions ahead. If the
 * wall clock jumps back, positions count on from the last one.
 */

import {
  COUNTER_MAX,
  compareHlc,
  encodeHlc,
  HLC_MAX,
  type HlcText,
  hlcAtTime,
  hlcCounter,
  hlcWallTimeMs,
} from '../../clock/hlc.ts';
import type { SiteId } from '../../clock/site-id.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';

/** The latest time that a clock can show: the end of ECMAScript's. */
const CLOCK_MS_MAX = 8_640_000_000_000_000;

/** No clock gives a greater HLC. */
export const CLOCK_HLC_MAX: HlcText = hlcAtTime(HLC_MAX, CLOCK_MS_MAX, COUNTER_MAX);

/** Whether a clock can have given the position or HLC. What is dated later could never be beaten. */
export function isOfClock(hlc: HlcText): boolean {
  return compareHlc(hlc, CLOCK_HLC_MAX) <= 0;
}

/**
 * Cheaper than comparing `newestHlc`: HLCs of one time differ near their end, an HLC and a limit at
 * once.
 */
export function isDatedAfter(
  { hlc, changes, schemaMigrations }: WireChangeSet,
  limit: HlcText,
): boolean {
  const isAfter = (item: { hlc: HlcText; priorHlc?: HlcText }) =>
    compareHlc(item.hlc, limit) > 0 ||
    (item.priorHlc !== undefined && compareHlc(item.priorHlc, limit) > 0);
  return isAfter({ hlc }) || changes.some(isAfter) || schemaMigrations.some(isAfter);
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
