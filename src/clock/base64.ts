/**
 * Converts bytes to text and back, without Node's `Buffer` or a browser's `atob`. Standard base64
 * with padding, and base64url without (RFC 4648, sections 4 and 5).
 */

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const URL_SAFE = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The six bits of a character of either alphabet, by its code. */
export const RANKS = /* @__PURE__ */ toRanks(STANDARD, URL_SAFE);

function toRanks(...alphabets: string[]): Uint8Array {
  const ranks = new Uint8Array(128);
  for (const alphabet of alphabets) {
    for (let rank = 0; rank < 64; rank++) ranks[alphabet.charCodeAt(rank)] = rank;
  }
  return ranks;
}

/** The code of the base64url character for six bits. */
export function urlSafeCodeOf(rank: number): number {
  return URL_SAFE.charCodeAt(rank);
}

/** Standard base64, padded. */
export function toBase64(bytes: Uint8Array): string {
  const text = encode(bytes, STANDARD);
  return text.length % 4 === 0 ? text : text.padEnd(Math.ceil(text.length / 4) * 4, '=');
}

/** So many become one call of `String.fromCharCode`; a multiple of three. */
const BYTES_AT_ONCE = 3072;

/** base64url, without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return encode(bytes, URL_SAFE);
}

function encode(bytes: Uint8Array, alphabet: string): string {
  const { length } = bytes;
  let text = '';
  for (let i = 0; i < length; ) {
    const codes: number[] = [];
    for (const end = Math.min(length, i + BYTES_AT_ONCE); i < end; i += 3) {
      const bits = (at(bytes, i) << 16) | (at(bytes, i + 1) << 8) | at(bytes, i + 2);
      codes.push(
        alphabet.charCodeAt(bits >> 18),
        alphabet.charCodeAt((bits >> 12) & 63),
        alphabet.charCodeAt((bits >> 6) & 63),
        alphabet.charCodeAt(bits & 63),
      );
    }
    text += String.fromCharCode.apply(undefined, codes);
  }
  return text.slice(0, Math.ceil((length * 4) / 3));
}

/**
 * Decodes either alphabet, padded or not.
 * @param text must be valid: other characters count as zeros, and bits beyond the last byte are
 *   dropped
 */
export function fromBase64(text: string): Uint8Array {
  let length = text.length;
  while (length > 0 && text.charCodeAt(length - 1) === PADDING) length--;
  const bytes = new Uint8Array(Math.floor((length * 3) / 4));
  let written = 0;
  for (let i = 0; i < length; i += 4) {
    const bits =
      (rank(text, i) << 18) |
      (rank(text, i + 1) << 12) |
      (rank(text, i + 2) << 6) |
      rank(text, i + 3);
    // Writes past the end are ignored.
    bytes[written++] = bits >> 16;
    bytes[written++] = bits >> 8;
    bytes[written++] = bits;
  }
  return bytes;
}

const PADDING = '='.charCodeAt(0);

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

function rank(text: string, index: number): number {
  return RANKS[text.charCodeAt(index)] ?? 0;
}
