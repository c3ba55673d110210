/** Options that are no plain data where a schema wants an object: a promise or a `Map` has no members, and counts as empty. */

import { isPlainObject, kindToText } from '../../options/plain-object.ts';
import type { SchemaReader } from '../../options/schema-reader.ts';

/** @returns the first one, as what is wrong with it; `undefined` where there is none */
export function findNotPlain(
  value: unknown,
  schemas: readonly unknown[],
  reader: SchemaReader,
  place = '',
  seen = new Set<unknown>(),
): string | undefined {
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined;
  seen.add(value);
  const isObject = reader.all(schemas).some(({ type }) => type === 'object');
  if (isObject && !isPlainObject(value) && !Array.isArray(value)) {
    return `options${place} must be an object, not ${kindToText(value)}`;
  }
  const members = Array.isArray(value)
    ? value.map((item, i) => [item, reader.itemsOf(schemas, i), `[${i}]`] as const)
    : Object.entries(value).map(
        ([name, member]) => [member, reader.membersOf(schemas, name), `.${name}`] as const,
      );
  for (const [member, its, where] of members) {
    const found =
      its.length === 0 ? undefined : findNotPlain(member, its, reader, place + where, seen);
    if (found !== undefined) return found;
  }
  return undefined;
}
