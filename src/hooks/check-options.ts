/** A hook module's options against its schema: what is wrong is told with its place. */

import type { TSchema } from 'typebox';
import { Clone, Errors } from 'typebox/value';
import { toPlacedFault } from '../wire/place.ts';
import { HookLoadError } from './load-error.ts';

/** More faults than these say nothing new. */
const FAULTS_MAX = 5;

/**
 * The options with their defaults filled in; the given ones stay as they are.
 * @throws HookLoadError
 */
export function checkOptions(module: string, given: unknown, schema: TSchema): unknown {
  const strict = refusingUnknown(schema);
  const options = withDefaults(schema, copyOf(given ?? {}));
  const faults = [...Errors(strict, options)].filter((fault) => !isEcho(fault)).map(faultToText);
  if (faults.length === 0) return options;
  const more = faults.length > FAULTS_MAX ? `; and ${faults.length - FAULTS_MAX} more` : '';
  throw new HookLoadError(module, `its ${faults.slice(0, FAULTS_MAX).join('; its ')}${more}`);
}

/**
 * Fills in what is missing, in nested objects too. TypeBox's own `Default` knows schemas that
 * TypeBox has made, and passes by plain JSON Schemas.
 */
function withDefaults(schema: unknown, value: unknown): unknown {
  const known = Object(schema);
  if (value === undefined) return 'default' in known ? copyOf(known.default) : undefined;
  const properties: unknown = Reflect.get(known, 'properties');
  if (typeof properties !== 'object' || properties === null) return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const filled = new Map<string, unknown>(Object.entries(value));
  for (const [name, property] of Object.entries(properties)) {
    const option = withDefaults(property, filled.get(name));
    if (option !== undefined) filled.set(name, option);
  }
  return Object.fromEntries(filled);
}

/**
 * TypeBox's own `Clone` leaves out members that are called `__proto__` or `constructor`, which is
 * what a table may be called.
 */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (!isPlainObject(value)) return Clone(value);
  const copy = {};
  // TypeBox marks its schemas with members that are not enumerable.
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

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A misspelt option would never be heeded, so an object takes only what it names. */
function refusingUnknown(schema: TSchema): TSchema {
  const isOpen = 'additionalProperties' in schema || 'patternProperties' in schema;
  if (!('properties' in schema) || isOpen) return schema;
  return { ...schema, additionalProperties: false };
}

/** The validator says of an unknown property first that it is false, then that it is one. */
function isEcho(fault: object): boolean {
  return Reflect.get(fault, 'message') === 'schema is false';
}

function faultToText(fault: object): string {
  const { place, message } = toPlacedFault(fault);
  const params: unknown = Reflect.get(fault, 'params');
  const named = (key: string) => {
    const names: unknown = Reflect.get(Object(params), key);
    return Array.isArray(names) ? names.map((name) => `"${name}"`).join(', ') : '';
  };
  const unknown = named('additionalProperties');
  if (unknown !== '') return `options${place} must not have ${unknown}`;
  const missing = named('requiredProperties');
  if (missing !== '') return `options${place} must have ${missing}`;
  return `options${place} ${message}`;
}
