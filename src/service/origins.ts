/**
 * Which web pages may call: the one reading of `cors.origin`, for HTTP and WebSocket alike.
 *
 * A page of another origin may send a request over HTTP without asking anybody, and CORS only keeps it
 * from reading the answer. A WebSocket it opens likewise, with the page's cookies where there are
 * some. The browser says in `Origin` which page it is: so the server itself has to refuse.
 */

import type { CoordinatorConfig } from '../config/schema.ts';

/** What browsers say of a page that has no origin, such as a file or a sandboxed frame of any site. */
const OPAQUE_ORIGIN = 'null';

/** @param origin what the browser says; `undefined` where none does, as with clients that are none */
export function isOriginAllowed(
  allowed: CoordinatorConfig['cors']['origin'],
  origin: string | undefined,
): boolean {
  if (typeof allowed === 'boolean') return allowed || origin === undefined;
  const origins = typeof allowed === 'string' ? [allowed] : allowed;
  return origin === undefined || origins.includes('*') || origins.includes(origin);
}

/**
 * What the browser is told of who may read an answer. Pages without an origin can't be told apart: one of
 * them must not read with the cookies of another, so they are let in only without any.
 */
export function originToCors(
  { origin: allowed, credentials }: CoordinatorConfig['cors'],
  origin: string | undefined,
): { origin: boolean | '*'; credentials: boolean } {
  if (!isOriginAllowed(allowed, origin)) return { origin: false, credentials: false };
  if (origin === OPAQUE_ORIGIN) return { origin: '*', credentials: false };
  return { origin: true, credentials };
}
