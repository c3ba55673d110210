/**
 * Hybrid logical clock values.
 *
 * 30 bytes, all big-endian: wallTime ms (8) · counter (2) · siteId (16) · opSeq (4).
 * HLCs are ordered as these bytes. On the wire, in the store's values and in the engine an HLC is
 * the standard base64 of the bytes: exactly 40 characters, never padded, so each HLC has one
 * spelling and equality is `===`. `compareHlc` orders the texts as their bytes, without decoding
 * them. Decoded `Hlc` objects are for hooks and for people.
 */

import { fromBase64, RANKS, toBase64 } from './base64.ts';

/** An HLC as 40 characters of standard base64. */
export type HlcText = string;

export interface Hlc {
  /** Milliseconds since 1970, uint64. */
  wallTime: bigint;
  /** uint16. */
  counter: number;
  /** 16 bytes. */
  siteId: Uint8Array;
  /** Place within its transaction, uint32. */
  opSeq: number;
}

export const HLC_BYTES = 30;
export const HLC_PATTERN = '^[A-Za-z0-9+/]{40}$';
const HLC_REGEXP = /* @__PURE__ */ new RegExp(HLC_PATTERN);

/** The greatest counter. */
export const COUNTER_MAX = 0xffff;

/** Smaller than every HLC of a clock. */
export const HLC_MIN: HlcText = /* @__PURE__ */ 'A'.repeat(40);
/** Greater than every HLC of a clock. */
export const HLC_MAX: HlcText = /* @__PURE__ */ '/'.repeat(40);

/** The first characters, which hold wall time, counter and nearly all of the site. */
const TIME_AND_SITE_CHARS = 34;
/** The index from which all characters hold only bits of the opSeq. */
export const OP_SEQ_CHAR = 35;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

export function isHlcText(value: unknown): value is HlcText {
  return typeof value === 'string' && HLC_REGEXP.test(value);
}

/** Negative, zero or positive, like a comparison of the 30 bytes. Both must be valid HLC texts. */
export function compareHlc(a: HlcText, b: HlcText): number {
  if (a === b) return 0;
  // Each base64 character is the next six bits, so the first difference decides.
  const at = hlcDifference(a, b);
  return rankAt(a, at) - rankAt(b, at);
}

/** The index of the first character in which two HLCs differ; 40 if they are equal. */
function hlcDifference(a: HlcText, b: HlcText): number {
  let at = isOfOneTime(a, b) ? TIME_AND_SITE_CHARS : 0;
  while (at < 40 && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

/**
 * Whether at most the last characters of two HLCs differ, as within one transaction. Comparing the
 * others at once takes half the time of comparing them one by one.
 */
function isOfOneTime(a: HlcText, b: HlcText): boolean {
  // A quick check first: different times mostly differ in their last bits.
  if (a.charCodeAt(10) !== b.charCodeAt(10)) return false;
  return a.slice(0, TIME_AND_SITE_CHARS) === b.slice(0, TIME_AND_SITE_CHARS);
}

export function maxHlc(a: HlcText, b: HlcText): HlcText {
  return compareHlc(a, b) >= 0 ? a : b;
}

export function minHlc(a: HlcText, b: HlcText): HlcText {
  return compareHlc(a, b) <= 0 ? a : b;
}

export function hlcToBytes(text: HlcText): Uint8Array {
  return fromBase64(text);
}

export function bytesToHlc(bytes: Uint8Array): HlcText {
  return toBase64(bytes);
}

export function encodeHlc(hlc: Hlc): HlcText {
  const bytes = new Uint8Array(HLC_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, hlc.wallTime);
  view.setUint16(8, hlc.counter);
  bytes.set(hlc.siteId, 10);
  view.setUint32(26, hlc.opSeq);
  return bytesToHlc(bytes);
}

export function decodeHlc(text: HlcText): Hlc {
  const bytes = hlcToBytes(text);
  const view = new DataView(bytes.buffer);
  return {
    wallTime: view.getBigUint64(0),
    counter: view.getUint16(8),
    siteId: bytes.slice(10, 26),
    opSeq: view.getUint32(26),
  };
}

/** The wall time of an HLC in milliseconds; exact up to 2^53. */
export function hlcWallTimeMs(text: HlcText): number {
  let high = 0;
  for (let i = 0; i < 10; i++) high = high * 64 + rankAt(text, i);
  return high * 16 + (rankAt(text, 10) >> 2);
}

/** The counter of an HLC. */
export function hlcCounter(text: HlcText): number {
  const low = (rankAt(text, 11) << 8) | (rankAt(text, 12) << 2) | (rankAt(text, 13) >> 4);
  return ((rankAt(text, 10) & 3) << 14) | low;
}

/**
 * The HLC of the same site and opSeq at another time.
 * @param wallTimeMs a whole number from 0 to 2^53 - 1
 * @param counter uint16
 */
export function hlcAtTime(hlc: HlcText, wallTimeMs: number, counter: number): HlcText {
  // Bits 28 to 63 of the wall time are six characters; the other 28 bits fit 32-bit arithmetic.
  const high = Math.floor(wallTimeMs / 2 ** 28);
  const low = wallTimeMs % 2 ** 28;
  const time = String.fromCharCode(
    charOf(high / 2 ** 30),
    charOf(high >> 24),
    charOf(high >> 18),
    charOf(high >> 12),
    charOf(high >> 6),
    charOf(high),
    charOf(low >> 22),
    charOf(low >> 16),
    charOf(low >> 10),
    charOf(low >> 4),
    charOf((low << 2) | (counter >> 14)),
    charOf(counter >> 8),
    charOf(counter >> 2),
    charOf((counter << 4) | (rankAt(hlc, 13) & 15)),
  );
  return time + hlc.slice(14);
}

/** The six bits of a character of an HLC. */
export function rankAt(text: HlcText, index: number): number {
  return RANKS[text.charCodeAt(index)] ?? 0;
}

/** @param rank its lowest six bits count */
function charOf(rank: number): number {
  return ALPHABET.charCodeAt(rank & 63);
}

/**
 * Parses an HLC from a query string or a header, after percent-decoding: standard base64,
 * base64url, or with `+` turned into a space. `undefined` if it is not an HLC.
 */
export function parseHlcParameter(value: string): HlcText | undefined {
  const text = value.replaceAll('-', '+').replaceAll('_', '/').replaceAll(' ', '+');
  return isHlcText(text) ? text : undefined;
}
