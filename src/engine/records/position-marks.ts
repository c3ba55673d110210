/**
 * Marks in the opSeq of a position, which is 0 otherwise. Clients send positions back unchanged, so
 * any node can read a mark, at any later time:
 *
 *   1 forgets(31)          a page ended here, and its reader goes on: `Head.forgets` when it began,
 *                          which tells whether it has missed deletions
 *   0 check(9) ahead(22)   a snapshot covers a position that is ahead of the clock by so many units
 *                          of 65,536 ms; the HLC is not ahead, since receivers set their clocks by it
 *
 * A marked position sorts after the unmarked one at its own time, and before the next one.
 */

import { decodeHlc, encodeHlc, type HlcText, hlcWallTimeMs } from '../../clock/hlc.ts';

const PAGE_END = 0x80000000;
const FORGETS_MASK = 0x7fffffff;
/** In milliseconds; 2^22 of them are eight years. */
const AHEAD_UNIT_MS = 65_536;
const AHEAD_MASK = 0x3fffff;
const CHECK_SHIFT = 22;
const CHECK_MASK = 0x1ff;

/** Marks the end of a page. @param forgets `Head.forgets` when the reader began */
export function markPageEnd(position: HlcText, forgets: number): HlcText {
  const opSeq = (PAGE_END | (forgets & FORGETS_MASK)) >>> 0;
  return encodeHlc({ ...decodeHlc(position), opSeq });
}

/** An HLC about at the clock's time, which stands for a position ahead of the clock. */
export function markAhead(position: HlcText, nowMs: number): HlcText {
  const aheadMs = hlcWallTimeMs(position) - nowMs;
  if (aheadMs <= 0) return position;
  const ahead = Math.min(Math.ceil(aheadMs / AHEAD_UNIT_MS), AHEAD_MASK);
  const hlc = decodeHlc(position);
  const wallTime = hlc.wallTime - BigInt(ahead) * BigInt(AHEAD_UNIT_MS);
  const at = { ...hlc, wallTime: wallTime < 0n ? 0n : wallTime };
  return encodeHlc({ ...at, opSeq: (checkOf(at.wallTime, ahead) << CHECK_SHIFT) | ahead });
}

export interface UnmarkedPosition {
  position: HlcText;
  /** For the end of a page: the last 31 bits of `Head.forgets` when its reader began. */
  forgets: number | undefined;
}

/** @param hlc a position, or another HLC of the coordinator's site */
export function unmark(hlc: HlcText): UnmarkedPosition {
  const decoded = decodeHlc(hlc);
  const { opSeq, wallTime } = decoded;
  if (opSeq >= PAGE_END) {
    return { position: encodeHlc({ ...decoded, opSeq: 0 }), forgets: opSeq - PAGE_END };
  }
  const ahead = opSeq & AHEAD_MASK;
  // The check tells a mark from the opSeq of a change that the coordinator has dated itself.
  if (ahead === 0 || opSeq >>> CHECK_SHIFT !== checkOf(wallTime, ahead)) {
    return { position: hlc, forgets: undefined };
  }
  const then = wallTime + BigInt(ahead) * BigInt(AHEAD_UNIT_MS);
  return { position: encodeHlc({ ...decoded, wallTime: then, opSeq: 0 }), forgets: undefined };
}

/** Whether the mark of a page's end is of this `Head.forgets`. */
export function isSameForgets(mark: number, forgets: number): boolean {
  return mark === (forgets & FORGETS_MASK);
}

function checkOf(wallTime: bigint, ahead: number): number {
  const mixed = Math.imul(
    Number(wallTime & 0x7fffffffn) ^ Math.imul(ahead, 0x9e3779b1),
    0x85ebca6b,
  );
  return (mixed >>> 16) & CHECK_MASK;
}
