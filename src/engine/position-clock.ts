/**
 * The clock of a database's positions: strictly rising, whatever the wall does.
 *
 * It is fed by the server's wall time only. A client's clock, however wrong, can never
 * push positions ahead; a wall that jumps back makes them count on from the last one.
 */

import { encodeHlc, type HlcText, hlcToBytes } from '../clock/hlc.ts';
import type { SiteId } from '../clock/site-id.ts';

const COUNTER_MAX = 0xffff;

/** @returns the position after `last`, as near to `nowMs` as order allows */
export function nextPosition(last: HlcText, nowMs: number, siteId: SiteId): HlcText {
  const bytes = hlcToBytes(last);
  const lastWallTime = bytes.readBigUInt64BE(0);
  const counter = bytes.readUInt16BE(8);
  const now = BigInt(Math.max(0, Math.floor(nowMs)));
  if (now > lastWallTime) return encodeHlc({ wallTime: now, counter: 0, siteId, opSeq: 0 });
  // The counter carries into the wall time rather than repeat or stop.
  return counter < COUNTER_MAX
    ? encodeHlc({ wallTime: lastWallTime, counter: counter + 1, siteId, opSeq: 0 })
    : encodeHlc({ wallTime: lastWallTime + 1n, counter: 0, siteId, opSeq: 0 });
}

/** The position of a database that holds nothing yet. */
export function zeroPosition(siteId: SiteId): HlcText {
  return encodeHlc({ wallTime: 0n, counter: 0, siteId, opSeq: 0 });
}

/** The first HLC that any clock could give at a wall time. */
export function wallTimeToHlc(wallTimeMs: number, siteId: SiteId): HlcText {
  const wallTime = BigInt(Math.max(0, Math.floor(wallTimeMs)));
  return encodeHlc({ wallTime, counter: 0, siteId, opSeq: 0 });
}
