/**
 * What may stand in `cors.origin`: an origin as browsers send it, which is compared text by text, or one whose host
 * begins with `*.`, for all subdomains. A pattern that no browser sends would keep all pages out without a word.
 */

const ANY = '*';
/** What browsers say of a page that has no origin, such as a sandboxed frame. */
export const OPAQUE_ORIGIN = 'null';
/** What some web views say of a page from a file. */
const FILE_ORIGIN = 'file://';

const SUBDOMAINS = '*.';
const SUBDOMAIN_NAMES = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
/** Browsers write an origin of a scheme that is not theirs as an app has registered it. */
const OWN_SCHEME = /^[a-z][a-z0-9+.-]*:\/\/[A-Za-z0-9._-]+(?::\d{1,5})?$/;
const WEB_SCHEME = /^https?:\/\//;
/** What stands between two in a list, as in `a;b` or `a b`. */
const SEVERAL = /\S[\s;,|]+\S/;
/** Of a top level, or of one below that of a country. Not all that are sold: those that are written most. */
const PUBLIC_SUFFIX = /^(?:[a-z0-9-]+|(?:ac|co|com|edu|gov|net|org)\.[a-z]{2})(?::\d+)?$/;
/** Top levels that nobody sells. */
const OWN_SUFFIX = /^(?:localhost|local|internal|lan|home|intranet|test|example|invalid)(?::\d+)?$/;
const ANY_SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/** @param url an absolute one; @returns its origin as browsers send it, `undefined` if it is no URL of the web */
export function urlToOrigin(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { origin } = new URL(url);
  return origin === 'null' ? undefined : origin;
}

export function isOriginOf(pattern: string, origin: string): boolean {
  if (pattern === ANY || pattern === origin) return true;
  const [scheme = '', domain] = pattern.split(SUBDOMAINS);
  if (domain === undefined) return false;
  const tail = `.${domain}`;
  if (!origin.startsWith(scheme) || !origin.endsWith(tail)) return false;
  return SUBDOMAIN_NAMES.test(origin.slice(scheme.length, -tail.length));
}

/** Whether it lets in everybody who buys a name, such as `https://*.com`. */
export function isForPublicSuffix(pattern: string): boolean {
  const [, domain] = pattern.split(`://${SUBDOMAINS}`);
  return domain !== undefined && PUBLIC_SUFFIX.test(domain) && !OWN_SUFFIX.test(domain);
}

/** @returns what it may be instead, if no browser sends such a thing */
export function originPatternFault(pattern: string): string | undefined {
  if ([ANY, OPAQUE_ORIGIN, FILE_ORIGIN].includes(pattern)) return undefined;
  if (!WEB_SCHEME.test(pattern) && OWN_SCHEME.test(pattern) && !/^wss?:/.test(pattern)) {
    return undefined;
  }
  if (SEVERAL.test(pattern.trim())) {
    return 'one origin: several are separated by commas, or are entries of a list';
  }
  const right = toPattern(pattern);
  if (right === pattern) return undefined;
  if (right !== undefined) return `"${right}": browsers send a scheme, a host and perhaps a port`;
  return 'an origin such as "https://app.example.com", or "https://*.example.com" for all subdomains';
}

/** What was probably meant. */
function toPattern(text: string): string | undefined {
  const isLocal = /^(?:localhost|127\.|\[::1\])/.test(text);
  const url = ANY_SCHEME.test(text)
    ? text.replace(/^ws/i, 'http')
    : `${isLocal ? 'http' : 'https'}://${text}`;
  const isWide = url.includes(`://${SUBDOMAINS}`);
  const origin = urlToOrigin(isWide ? url.replace(`://${SUBDOMAINS}`, '://') : url);
  if (origin === undefined || origin.includes('*') || !WEB_SCHEME.test(origin)) return undefined;
  return isWide ? origin.replace('://', `://${SUBDOMAINS}`) : origin;
}
