/** Refuses changes that are dated further ahead of the server's clock than is allowed. */

import { compareHlc, encodeHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import { SITE_ID_BYTES } from '../clock/site-id.ts';
import { SyncError } from '../errors.ts';
import type { WireChangeSet } from '../wire/schemas.ts';
import { newestHlc } from './prepare.ts';

/**
 * @param nowMs the latest that the server's clock is known to have been
 * @throws SyncError CLOCK_DRIFT
 */
export function refuseDrift(
  changeSets: readonly WireChangeSet[],
  nowMs: number,
  maxClockDriftMs: number,
): void {
  const latest = encodeHlc({
    wallTime: BigInt(Math.max(0, Math.floor(nowMs + maxClockDriftMs))),
    counter: 0xffff,
    siteId: new Uint8Array(SITE_ID_BYTES).fill(0xff),
    opSeq: 0xffffffff,
  });
  const isAhead = (hlc: HlcText | undefined) => hlc !== undefined && compareHlc(hlc, latest) > 0;
  const newest = newestHlc(changeSets);
  if (newest === undefined || !isAhead(newest)) return;
  const index = changeSets.findIndex((changeSet) => isAhead(newestHlc([changeSet])));
  throw new SyncError(
    'CLOCK_DRIFT',
    `changes[${index}]: dated ${hlcWallTimeMs(newest) - nowMs} ms ahead of the server's clock, more than sync.maxClockDriftMs (${maxClockDriftMs}) allows`,
  );
}
