/**
 * Reads JSON Schemas, also those that TypeBox has not made: finds the schemas that apply to a
 * value, to a member or to an item of it.
 */

import { Check } from 'typebox/value';

export type SchemaNode = Readonly<Record<string, unknown>>;

/** Keywords whose schemas apply to the same value, as lists or as single schemas. */
const COMBINING = ['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else'];

export function isNode(value: unknown): value is SchemaNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export class SchemaReader {
  readonly #definitions: SchemaNode;

  /** @param root the schema with the definitions to which `$ref` points */
  constructor(root: unknown) {
    const { $defs, definitions } = isNode(root) ? root : {};
    this.#definitions = { ...Object(definitions), ...Object($defs) };
  }

  /** The schema to which `$ref` points; the schema itself if it has none. */
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

  /** All schemas that may apply to the value, with every alternative. */
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

  /** All schemas that may apply to a member of the value. */
  membersOf(schemas: readonly unknown[], name: string): unknown[] {
    return this.all(schemas).flatMap((schema) => memberSchemas(schema, name));
  }

  /** All schemas that may apply to an item of the value. */
  itemsOf(schemas: readonly unknown[], index: number): unknown[] {
    return this.all(schemas).flatMap((schema) => itemSchema(schema, index) ?? []);
  }
}

/** The schemas of a member, without combined schemas. */
export function memberSchemas(schema: SchemaNode, name: string): unknown[] {
  const { properties, patternProperties, additionalProperties } = schema;
  const named = Object.hasOwn(Object(properties), name) ? [Object(properties)[name]] : [];
  const matching = Object.entries(Object(patternProperties)).flatMap(([pattern, member]) =>
    Check({ type: 'string', pattern }, name) ? [member] : [],
  );
  const found = [...named, ...matching];
  return found.length > 0 || !isNode(additionalProperties) ? found : [additionalProperties];
}

/** The schema of an item, without combined schemas. */
export function itemSchema(
  { items, prefixItems, additionalItems }: SchemaNode,
  index: number,
): unknown {
  const first = Array.isArray(items) ? items : prefixItems;
  const rest = Array.isArray(items) ? additionalItems : items;
  return Array.isArray(first) && index < first.length ? first[index] : rest;
}
