/**
 * Which web pages may call: the one reading of `cors.origin`, for HTTP and WebSocket alike.
 *
 * A browser lets a page of another origin send a request over HTTP, and CORS only keeps the page from reading
 * the answer. It lets the page open a WebSocket as well, with the cookies of this server. It names the
 * page in `Origin`, so the server itself has to refuse.
 */

import { isIP } from 'node:net';
import { isLoopbackHost } from '../../config/loopback.ts';
import { isOriginOf, OPAQUE_ORIGIN, urlToOrigin } from '../../config/origin-pattern.ts';
import type { CoordinatorConfig } from '../../config/schema.ts';

/** Who asks, and by what name. */
export interface Asking {
  /** What the browser says; `undefined` where none does, as with clients that are none. */
  origin: string | undefined;
  /** The name that this server was asked by, with its port. */
  host: string;
  protocol: string;
  /** Whether clients are asked for credentials. */
  isGuarded: boolean;
}

/** Whether `cors.origin` names it. */
export function isOriginAllowed(
  allowed: CoordinatorConfig['cors']['origin'],
  origin: string | undefined,
): boolean {
  if (origin === undefined) return true;
  if (typeof allowed === 'boolean') return allowed;
  return [allowed].flat().some((pattern) => isOriginOf(pattern, origin));
}

/** Whether a client may call: `cors.origin` names its origin, or it is the server's own. */
export function mayCall(allowed: CoordinatorConfig['cors']['origin'], asking: Asking): boolean {
  return isOriginAllowed(allowed, asking.origin) || isOwnOrigin(asking);
}

/**
 * React Native on Android gives the address that it connects to for the origin of a WebSocket, and a page may be served
 * from behind the same name. Any name can be made to lead here, though (DNS rebinding), and who made it so
 * has no credentials: where none are asked for the name has to be an address, or one that only this machine has.
 */
function isOwnOrigin({ origin = '', host, protocol, isGuarded }: Asking): boolean {
  const asked = urlToOrigin(origin);
  if (asked === undefined || !/^[^/?#@\\]+$/.test(host)) return false;
  const scheme = asked.slice(0, asked.indexOf(':'));
  // TLS ends at a proxy, which may not be trusted to say so.
  if (scheme !== protocol && scheme !== 'https') return false;
  if (asked !== urlToOrigin(`${scheme}://${host}`)) return false;
  return isGuarded || isLoopbackHost(host) || isAddress(new URL(asked).hostname);
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

/**
 * What the browser is told of who may read an answer. Pages without an origin can't be told apart: one of
 * them must not read with the cookies of another, so they are let in only without any.
 */
export function originToCors(
  { origin: allowed, credentials }: CoordinatorConfig['cors'],
  asking: Asking,
): { origin: boolean | '*'; credentials: boolean } {
  if (!mayCall(allowed, asking)) return { origin: false, credentials: false };
  if (asking.origin === OPAQUE_ORIGIN) return { origin: '*', credentials: false };
  return { origin: true, credentials };
}
