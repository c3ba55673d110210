/**
 * The identity that all hooks share. It is one object until it is renewed, so hooks can use it as a
 * key of a map; and it is frozen, or a module could change a client's identity for later modules.
 */

import { type SiteIdText, siteIdToText, textToSiteId } from '../clock/site-id.ts';
import type { ClientIdentity } from './types.ts';

/** Of an identity: its site id as text, which takes a fifth of the memory. */
const SITE = Symbol('site');

/** One getter for all: with one of its own each identity had a hidden class of its own, too. */
const SITE_ID = {
  get(this: { [SITE]: SiteIdText }) {
    return textToSiteId(this[SITE]);
  },
  enumerable: true,
};

/**
 * Freezes an identity, with frozen copies of its plain objects and arrays. Instances of classes
 * stay as they are. Bytes can't be frozen, so each read of the site id gives a copy.
 */
export function sealIdentity({ siteId, metadata, ...said }: ClientIdentity): ClientIdentity {
  // Built one property after the other: from a copy (`...`) V8 makes a hidden class for each.
  const sealed: object = {};
  for (const key of Reflect.ownKeys(said)) {
    Object.defineProperty(sealed, key, { value: Reflect.get(said, key), enumerable: true });
  }
  Object.defineProperty(sealed, SITE, { value: siteIdToText(siteId) });
  Object.defineProperty(sealed, 'siteId', SITE_ID);
  if (metadata !== undefined) {
    const value = frozenCopy(metadata, new Map());
    Object.defineProperty(sealed, 'metadata', { value, enumerable: true });
  }
  return Object.freeze(sealed) as ClientIdentity;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}

/** @param copies the copies so far, for circular values */
function frozenCopy<T>(value: T, copies: Map<unknown, object>): T {
  if (typeof value !== 'object' || value === null || !isPlain(value)) return value;
  const known = copies.get(value);
  if (known !== undefined) return known as T;
  const copy: object = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value));
  copies.set(value, copy);
  for (const key of Object.keys(value)) {
    // Defined, not assigned: the name of a claim may be `__proto__`.
    const member = { value: frozenCopy(Reflect.get(value, key), copies), enumerable: true };
    Object.defineProperty(copy, key, member);
  }
  return Object.freeze(copy) as T;
}
