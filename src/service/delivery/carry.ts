/** Decides when a reader that got no changes is told how far the log has been read for it. */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../../clock/hlc.ts';

/** Whether the reader would otherwise read the same stretch of its own changes again. */
export function isCarryNeeded(
  after: HlcText,
  lastSent: HlcText | undefined,
  end: HlcText,
): boolean {
  return compareHlc(end, lastSent ?? after) > 0 && hlcWallTimeMs(end) > 0;
}
