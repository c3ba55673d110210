/** Site ids: 16 bytes that name a replica; on the wire base64url without padding, 22 characters. */

import { fromBase64, toBase64Url, urlSafeCodeOf } from './base64.ts';
import { encodeHlc, type HlcText, rankAt } from './hlc.ts';

export type SiteId = Uint8Array;
/** A site id as 22 characters of base64url. */
export type SiteIdText = string;

export const SITE_ID_BYTES = 16;
/** The last character holds only two bits: one of A, Q, g, w. So each id has one spelling. */
export const SITE_ID_PATTERN = '^[A-Za-z0-9_-]{21}[AQgw]$';
const SITE_ID_REGEXP = /* @__PURE__ */ new RegExp(SITE_ID_PATTERN);

export function isSiteIdText(value: unknown): value is SiteIdText {
  return typeof value === 'string' && SITE_ID_REGEXP.test(value);
}

export function siteIdToText(siteId: SiteId): SiteIdText {
  return toBase64Url(siteId);
}

export function textToSiteId(text: SiteIdText): SiteId {
  return fromBase64(text);
}

/** The index of the first character of an HLC with bits of the site, which are its last four. */
const SITE_CHAR = 13;
const SITE_CHARS = 22;

/** The site that issued an HLC. */
export function hlcSite(hlc: HlcText): SiteIdText {
  // The bits are shifted by two, directly from character to character.
  const codes = new Array<number>(SITE_CHARS);
  let left = rankAt(hlc, SITE_CHAR);
  for (let i = 0; i < SITE_CHARS; i++) {
    const right = rankAt(hlc, SITE_CHAR + 1 + i);
    codes[i] = urlSafeCodeOf(((left & 15) << 2) | (right >> 4));
    left = right;
  }
  // The other bits of the last character belong to the opSeq.
  codes[SITE_CHARS - 1] = urlSafeCodeOf((rankAt(hlc, 34) & 12) << 2);
  return String.fromCharCode.apply(undefined, codes);
}

/**
 * Tells the HLCs of one site from all others. Every change that is merged is asked for its site more
 * than once: this makes no strings, which `isOfSameSite` does.
 */
export class HlcsOfSite {
  readonly #middle: string;
  readonly #before: number;
  readonly #after: number;

  constructor(siteId: SiteId) {
    const hlc = encodeHlc({ wallTime: 0n, counter: 0, siteId, opSeq: 0 });
    this.#middle = hlc.slice(14, 34);
    this.#before = rankAt(hlc, 13) & 15;
    this.#after = rankAt(hlc, 34) >> 2;
  }

  has(hlc: HlcText): boolean {
    return (
      hlc.startsWith(this.#middle, 14) &&
      (rankAt(hlc, 13) & 15) === this.#before &&
      rankAt(hlc, 34) >> 2 === this.#after
    );
  }
}

/**
 * Whether one site issued both. The site id is twenty whole characters and four bits on each side.
 */
export function isOfSameSite(a: HlcText, b: HlcText): boolean {
  return (
    a.slice(14, 34) === b.slice(14, 34) &&
    (rankAt(a, 13) & 15) === (rankAt(b, 13) & 15) &&
    rankAt(a, 34) >> 2 === rankAt(b, 34) >> 2
  );
}
