/**
 * Fills in the defaults of a schema, at any depth: in members, items, records, in the alternative
 * that matches the value, and in a required object that was left out. TypeBox's own `Default`
 * ignores plain JSON Schemas that TypeBox has not made.
 */

import { Check, Clone } from 'typebox/value';
import { isPlainObject } from './plain-object.ts';
import {
  isNode,
  itemSchema,
  memberSchemas,
  type SchemaNode,
  SchemaReader,
} from './schema-reader.ts';
import { refusingUnknown } from './strict-schema.ts';

/** Does not change the given value. */
export function withDefaults(schema: unknown, value: unknown): unknown {
  return new Filler(schema).fill(schema, copyOf(value));
}

class Filler {
  readonly #reader: SchemaReader;
  readonly #definitions: object;

  constructor(root: unknown) {
    this.#reader = new SchemaReader(root);
    const { $defs, definitions } = isNode(root) ? root : {};
    this.#definitions = { ...($defs ? { $defs } : {}), ...(definitions ? { definitions } : {}) };
  }

  fill(given: unknown, value: unknown): unknown {
    if (!isNode(given)) return value;
    const schema = this.#reader.resolve(given);
    if (value === undefined) {
      const own = [given, schema].find((node) => 'default' in node);
      return own === undefined ? undefined : copyOf(own.default);
    }
    const ofParts = this.#fillParts(schema, value);
    if (Array.isArray(ofParts)) {
      return ofParts.map((item, i) => this.fill(itemSchema(schema, i), item));
    }
    return isPlainObject(ofParts) ? this.#fillObject(schema, ofParts) : ofParts;
  }

  #fillParts({ allOf, anyOf, oneOf }: SchemaNode, value: unknown): unknown {
    let filled = value;
    if (Array.isArray(allOf)) for (const part of allOf) filled = this.fill(part, filled);
    for (const alternatives of [anyOf, oneOf]) {
      if (!Array.isArray(alternatives)) continue;
      const candidates = alternatives.map((schema) => [schema, this.fill(schema, filled)] as const);
      const fitting = candidates.find(([schema, candidate]) => this.#isOf(schema, candidate));
      if (fitting !== undefined) filled = fitting[1];
    }
    return filled;
  }

  #isOf(schema: unknown, value: unknown): boolean {
    return isNode(schema) && Check(refusingUnknown({ ...this.#definitions, ...schema }), value);
  }

  #fillObject(schema: SchemaNode, value: object): object {
    const filled = new Map<string, unknown>(Object.entries(value));
    for (const [name, member] of filled) {
      const [inner] = memberSchemas(schema, name);
      if (inner !== undefined) filled.set(name, this.fill(inner, member));
    }
    const required: unknown[] = Array.isArray(schema.required) ? schema.required : [];
    for (const [name, inner] of Object.entries(Object(schema.properties))) {
      if (filled.get(name) !== undefined) continue;
      const member =
        this.fill(inner, undefined) ?? (required.includes(name) ? this.#absent(inner) : undefined);
      if (member !== undefined) filled.set(name, member);
    }
    return Object.fromEntries(filled);
  }

  /** A missing object, if all of its required members have defaults. */
  #absent(schema: unknown): unknown {
    const node = isNode(schema) ? this.#reader.resolve(schema) : {};
    if (!isNode(node.properties)) return undefined;
    const made = this.fill(node, {});
    return this.#isOf(node, made) ? made : undefined;
  }
}

/**
 * TypeBox's own `Clone` leaves out members with names such as `__proto__` or `constructor`, which
 * may be names of tables.
 */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (!isPlainObject(value)) return Clone(value);
  const copy = {};
  // Also copies members that are not enumerable, with which TypeBox marks its schemas.
  for (const key of Reflect.ownKeys(value)) {
    const enumerable = Object.prototype.propertyIsEnumerable.call(value, key);
    const member = copyOf(Reflect.get(value, key));
    Object.defineProperty(copy, key, {
      value: member,
      enumerable,
      writable: true,
      configurable: true,
    });
  }
  return copy;
}
