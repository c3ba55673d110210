/**
 * Which web pages may call: the one reading of `cors.origin`, for HTTP and WebSocket alike.
 *
 * Over HTTP the browser asks by CORS. A WebSocket it opens from any page, with the page's cookies
 * where there are some, and says in `Origin` from which: there the server itself has to refuse.
 */

import type { CoordinatorConfig } from '../config/schema.ts';

/** @param origin what the browser says; `undefined` where none does, as with clients that are none */
export function isOriginAllowed(
  allowed: CoordinatorConfig['cors']['origin'],
  origin: string | undefined,
): boolean {
  if (typeof allowed === 'boolean') return allowed || origin === undefined;
  const origins = typeof allowed === 'string' ? [allowed] : allowed;
  return origin === undefined || origins.includes('*') || origins.includes(origin);
}
