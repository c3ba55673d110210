/**
 * Finds one's way through a JSON Schema of any shape, also one that TypeBox has not made: which
 * schemas hold for a value, for a member of it, for an item.
 */

import { Check } from 'typebox/value';

export type SchemaNode = Readonly<Record<string, unknown>>;

/** What a schema is made of beside itself, as lists and as single schemas. */
const COMBINING = ['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else'];

export function isNode(value: unknown): value is SchemaNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export class SchemaReader {
  readonly #definitions: SchemaNode;

  /** @param root where definitions are, to which `$ref` points */
  constructor(root: unknown) {
    const { $defs, definitions } = isNode(root) ? root : {};
    this.#definitions = { ...Object(definitions), ...Object($defs) };
  }

  /** What `$ref` points to; the schema itself where it has none. */
  resolve(schema: SchemaNode): SchemaNode {
    const seen = new Set<SchemaNode>();
    let at = schema;
    while (typeof at.$ref === 'string' && !seen.has(at)) {
      seen.add(at);
      const target = this.#definitions[at.$ref.slice(at.$ref.lastIndexOf('/') + 1)];
      if (!isNode(target)) break;
      at = target;
    }
    return at;
  }

  /** All that may hold for the value, whichever alternative is taken. */
  all(schemas: readonly unknown[], found = new Set<SchemaNode>()): SchemaNode[] {
    for (const schema of schemas) {
      if (!isNode(schema) || found.has(schema)) continue;
      found.add(schema);
      this.all([this.resolve(schema)], found);
      this.all(
        COMBINING.flatMap((key) => schema[key] ?? []),
        found,
      );
    }
    return [...found];
  }

  /** Those of a member of the value. */
  membersOf(schemas: readonly unknown[], name: string): unknown[] {
    return this.all(schemas).flatMap((schema) => memberSchemas(schema, name));
  }

  /** Those of an item of the value. */
  itemsOf(schemas: readonly unknown[], index: number): unknown[] {
    return this.all(schemas).flatMap((schema) => itemSchema(schema, index) ?? []);
  }
}

/** Of the schema alone. */
export function memberSchemas(schema: SchemaNode, name: string): unknown[] {
  const { properties, patternProperties, additionalProperties } = schema;
  const named = Object.hasOwn(Object(properties), name) ? [Object(properties)[name]] : [];
  const matching = Object.entries(Object(patternProperties)).flatMap(([pattern, member]) =>
    Check({ type: 'string', pattern }, name) ? [member] : [],
  );
  const found = [...named, ...matching];
  return found.length > 0 || !isNode(additionalProperties) ? found : [additionalProperties];
}

/** Of the schema alone. */
export function itemSchema(
  { items, prefixItems, additionalItems }: SchemaNode,
  index: number,
): unknown {
  const first = Array.isArray(items) ? items : prefixItems;
  const rest = Array.isArray(items) ? additionalItems : items;
  return Array.isArray(first) && index < first.length ? first[index] : rest;
}
