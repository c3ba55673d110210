/**
 * An identity as all hooks share it: one object until it is renewed, so that they may key a map by it, and
 * nobody's to change, or a module could make somebody else of a client for those after it.
 */

import type { ClientIdentity } from './types.ts';

/**
 * Frozen, with copies of its plain objects and arrays, which are frozen too. What is of a class is as
 * it was given. Bytes can't be frozen: each who asks for the site id gets their own.
 */
export function sealIdentity({ siteId, metadata, ...said }: ClientIdentity): ClientIdentity {
  const site = new Uint8Array(siteId);
  return Object.freeze({
    ...said,
    get siteId() {
      return new Uint8Array(site);
    },
    ...(metadata === undefined ? {} : { metadata: frozenCopy(metadata, new Map()) }),
  });
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}

/** @param copies of what leads back to itself */
function frozenCopy<T>(value: T, copies: Map<unknown, object>): T {
  if (typeof value !== 'object' || value === null || !isPlain(value)) return value;
  const known = copies.get(value);
  if (known !== undefined) return known as T;
  const copy: object = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value));
  copies.set(value, copy);
  for (const key of Object.keys(value)) {
    // Not assigned: a claim may be called `__proto__`.
    const member = { value: frozenCopy(Reflect.get(value, key), copies), enumerable: true };
    Object.defineProperty(copy, key, member);
  }
  return Object.freeze(copy) as T;
}
