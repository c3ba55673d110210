/** Site ids: 16 bytes that name a replica; on the wire base64url without padding, 22 characters. */

import type { HlcText } from './hlc.ts';
import { hlcToBytes, rankAt } from './hlc.ts';

export type SiteId = Uint8Array;
/** A site id as 22 characters of base64url. */
export type SiteIdText = string;

export const SITE_ID_BYTES = 16;
/** The last character holds only two bits: one of A, Q, g, w. So each id has one spelling. */
export const SITE_ID_PATTERN = '^[A-Za-z0-9_-]{21}[AQgw]$';
const SITE_ID_REGEXP = new RegExp(SITE_ID_PATTERN);

export function isSiteIdText(value: unknown): value is SiteIdText {
  return typeof value === 'string' && SITE_ID_REGEXP.test(value);
}

export function siteIdToText(siteId: SiteId): SiteIdText {
  return Buffer.from(siteId.buffer, siteId.byteOffset, siteId.byteLength).toString('base64url');
}

export function textToSiteId(text: SiteIdText): SiteId {
  return new Uint8Array(Buffer.from(text, 'base64url'));
}

/** The site that issued an HLC. */
export function hlcSite(hlc: HlcText): SiteIdText {
  return hlcToBytes(hlc).toString('base64url', 10, 26);
}

/** Whether one site issued both. Its id is twenty whole characters and four bits on either side. */
export function isOfSameSite(a: HlcText, b: HlcText): boolean {
  return (
    a.slice(14, 34) === b.slice(14, 34) &&
    (rankAt(a, 13) & 15) === (rankAt(b, 13) & 15) &&
    rankAt(a, 34) >> 2 === rankAt(b, 34) >> 2
  );
}
