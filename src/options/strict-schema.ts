/** Makes schemas refuse properties that they do not name, at any depth. */

import type { TSchema } from 'typebox';
import { isNode, type SchemaNode } from './schema-reader.ts';

/** Keywords below which there are schemas of other values, each with its own properties. */
const LISTS = ['anyOf', 'oneOf', 'prefixItems'];
const MAPS = ['properties', 'patternProperties', '$defs', 'definitions'];
const SINGLE = ['items', 'additionalItems', 'additionalProperties'];

/** Refuses unknown properties, since a misspelt option would be ignored. */
export function refusingUnknown(schema: TSchema): TSchema {
  return isNode(schema) ? strict(schema) : schema;
}

function strict(schema: SchemaNode): SchemaNode {
  const { allOf } = schema;
  if (Array.isArray(allOf) && allOf.length > 0) {
    // Each part names only some of the properties, so only the whole can refuse others.
    const parts: unknown[] = allOf;
    const whole = {
      ...within(schema),
      allOf: parts.map((part) => (isNode(part) ? within(part) : part)),
    };
    const isClosed = parts.some(hasProperties) && !parts.some(isOpen) && !isOpen(schema);
    return isClosed ? { ...whole, unevaluatedProperties: false } : whole;
  }
  const inner = within(schema);
  return !hasProperties(schema) || isOpen(schema)
    ? inner
    : { ...inner, additionalProperties: false };
}

const hasProperties = (schema: unknown) => isNode(schema) && 'properties' in schema;

function isOpen(schema: unknown): boolean {
  return (
    isNode(schema) &&
    ('additionalProperties' in schema ||
      'patternProperties' in schema ||
      'unevaluatedProperties' in schema)
  );
}

/** The schema with all schemas below it made strict. */
function within(schema: SchemaNode): SchemaNode {
  const toStrict = (inner: unknown): unknown => {
    if (Array.isArray(inner)) return inner.map(toStrict);
    return isNode(inner) ? strict(inner) : inner;
  };
  const made: Record<string, unknown> = { ...schema };
  for (const key of [...LISTS, ...SINGLE]) if (key in made) made[key] = toStrict(made[key]);
  for (const key of MAPS) {
    const map = made[key];
    if (!isNode(map)) continue;
    made[key] = Object.fromEntries(
      Object.entries(map).map(([name, inner]) => [name, toStrict(inner)]),
    );
  }
  return made;
}
