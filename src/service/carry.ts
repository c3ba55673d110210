/** When a reader has to be told how far it has got, though nothing of it was for it. */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';

/** Whether the reader would otherwise ask for the same stretch of its own changes again. */
export function isCarryNeeded(
  after: HlcText,
  lastSent: HlcText | undefined,
  end: HlcText,
): boolean {
  return compareHlc(end, lastSent ?? after) > 0 && hlcWallTimeMs(end) > 0;
}
