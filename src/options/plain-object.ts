/** Whether a value is an object of options as one writes it down, and what it is else. */

import { types } from 'node:util';

/** Of any realm: a promise, a `Map` or an instance has no options to look at, and would count as none. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(Object(prototype), 'toString');
}

/** What a value is, without saying it. */
export function kindToText(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (Array.isArray(value)) return 'a list';
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (isPlainObject(value)) return 'an object';
  if (types.isPromise(value) || typeof Reflect.get(value, 'then') === 'function')
    return 'a promise';
  const { constructor: made }: { constructor?: { name?: unknown } } = value;
  return typeof made?.name === 'string' && made.name !== '' ? `a ${made.name}` : 'an instance';
}
