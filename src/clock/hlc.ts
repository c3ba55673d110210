/**
 * Hybrid logical clock values.
 *
 * 30 bytes, all big-endian: wallTime ms (8) · counter (2) · siteId (16) · opSeq (4).
 * Their byte order is their order. On the wire, in the store's values and in the
 * engine an HLC is the standard base64 of those bytes: exactly 40 characters,
 * never padded, so each HLC has one spelling and equality is `===`. `compareHlc`
 * orders the text as its bytes, without decoding it. Decoded `Hlc` objects exist
 * for hooks and for people.
 */

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
const HLC_REGEXP = new RegExp(HLC_PATTERN);

/** Before every HLC that a clock gives. */
export const HLC_MIN: HlcText = 'A'.repeat(40);
/** After every HLC that a clock gives. */
export const HLC_MAX: HlcText = '/'.repeat(40);

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const RANKS = new Uint8Array(128);
for (let rank = 0; rank < ALPHABET.length; rank++) RANKS[ALPHABET.charCodeAt(rank)] = rank;

export function isHlcText(value: unknown): value is HlcText {
  return typeof value === 'string' && HLC_REGEXP.test(value);
}

/** Negative, zero or positive, as the 30 bytes compare. Both must be valid HLC texts. */
export function compareHlc(a: HlcText, b: HlcText): number {
  if (a === b) return 0;
  // Each base64 character is the next six bits, so the first difference decides.
  for (let i = 0; i < 40; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return (RANKS[left] ?? 0) - (RANKS[right] ?? 0);
  }
  return 0;
}

export function maxHlc(a: HlcText, b: HlcText): HlcText {
  return compareHlc(a, b) >= 0 ? a : b;
}

export function minHlc(a: HlcText, b: HlcText): HlcText {
  return compareHlc(a, b) <= 0 ? a : b;
}

export function hlcToBytes(text: HlcText): Buffer {
  return Buffer.from(text, 'base64');
}

export function bytesToHlc(bytes: Uint8Array): HlcText {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function encodeHlc(hlc: Hlc): HlcText {
  const bytes = Buffer.alloc(HLC_BYTES);
  bytes.writeBigUInt64BE(hlc.wallTime, 0);
  bytes.writeUInt16BE(hlc.counter, 8);
  bytes.set(hlc.siteId, 10);
  bytes.writeUInt32BE(hlc.opSeq, 26);
  return bytes.toString('base64');
}

export function decodeHlc(text: HlcText): Hlc {
  const bytes = hlcToBytes(text);
  return {
    wallTime: bytes.readBigUInt64BE(0),
    counter: bytes.readUInt16BE(8),
    siteId: new Uint8Array(bytes.subarray(10, 26)),
    opSeq: bytes.readUInt32BE(26),
  };
}

/** The wall time of an HLC in milliseconds; exact up to 2^53. */
export function hlcWallTimeMs(text: HlcText): number {
  return Number(hlcToBytes(text).readBigUInt64BE(0));
}

/**
 * An HLC out of a query string or a header: percent-decoded already, as standard
 * base64, base64url, or with `+` turned into a space. `undefined` if it is none.
 */
export function parseHlcParameter(value: string): HlcText | undefined {
  const text = value.replaceAll('-', '+').replaceAll('_', '/').replaceAll(' ', '+');
  return isHlcText(text) ? text : undefined;
}
