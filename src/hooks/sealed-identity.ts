/**
 * The identity that all hooks share. It is one object until it is renewed, so hooks can use it as a
 * key of a map; and it is frozen, or a module could change a client's identity for later modules.
 */

import { siteIdToText, textToSiteId } from '../clock/site-id.ts';
import type { ClientIdentity } from './types.ts';

/**
 * Freezes an identity, with frozen copies of its plain objects and arrays. Instances of classes
 * stay as they are. Bytes can't be frozen, so each read of the site id gives a copy.
 */
export function sealIdentity({ siteId, metadata, ...said }: ClientIdentity): ClientIdentity {
  // Kept as text, which takes a fifth of the memory.
  const site = siteIdToText(siteId);
  return Object.freeze({
    ...said,
    get siteId() {
      return textToSiteId(site);
    },
    ...(metadata === undefined ? {} : { metadata: frozenCopy(metadata, new Map()) }),
  });
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
