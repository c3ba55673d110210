/**
 * SQL values in JSON form. The coordinator passes them on without interpreting them. It checks only
 * that a value can be written as JSON again, and which primary keys mean the same row.
 */

import { fromBase64, toBase64 } from '../clock/base64.ts';
import { PK_LENGTH_MAX, PK_MEMBERS_MAX } from './constants.ts';

/** Deepest nesting of a JSON value; beyond it serialising could exhaust the stack. */
const VALUE_DEPTH_MAX = 128;
/** Most digits of a bigint: far beyond any SQL integer, and still cheap to normalise. */
const BIGINT_DIGITS_MAX = 1000;

const BIGINT_REGEXP = /^-?[0-9]+$/;
const BASE64_REGEXP = /^[A-Za-z0-9+/]*={0,2}$/;

type Tagged = { tag: 'bigint'; digits: unknown } | { tag: 'bytes'; base64: unknown };

/** A bigint or bytes in JSON form; `undefined` for any other value. */
function tagged(value: object): Tagged | undefined {
  if (Array.isArray(value)) return undefined;
  const keys = Object.keys(value);
  if (keys.length !== 1) return undefined;
  if (keys[0] === '__bigint') return { tag: 'bigint', digits: Reflect.get(value, '__bigint') };
  if (keys[0] === '__bin') return { tag: 'bytes', base64: Reflect.get(value, '__bin') };
  return undefined;
}

/** What is wrong with a value; `undefined` for a valid one. */
export function valueFault(value: unknown, depth = 0): string | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : 'is a number beyond the range of a double';
    case 'object':
      return value === null ? undefined : objectFault(value, depth);
    default:
      return 'is missing';
  }
}

function objectFault(value: object, depth: number): string | undefined {
  const special = depth === 0 ? tagged(value) : undefined;
  if (special?.tag === 'bigint') {
    const { digits } = special;
    if (typeof digits !== 'string' || !BIGINT_REGEXP.test(digits)) {
      return '{"__bigint"} must hold a decimal integer as a string';
    }
    return digits.length <= BIGINT_DIGITS_MAX
      ? undefined
      : `{"__bigint"} has more than ${BIGINT_DIGITS_MAX} digits`;
  }
  if (special?.tag === 'bytes') {
    const { base64 } = special;
    return typeof base64 === 'string' && BASE64_REGEXP.test(base64)
      ? undefined
      : '{"__bin"} must hold base64';
  }
  if (depth >= VALUE_DEPTH_MAX) return `is nested deeper than ${VALUE_DEPTH_MAX} levels`;
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    const fault = valueFault(member, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/**
 * What is wrong with the size of a primary key, or `undefined`. Keys are limited since each change
 * repeats its key, keys are normalised to be compared, and they are part of the store's keys.
 */
export function pkFault(pk: readonly unknown[]): string | undefined {
  if (pk.length > PK_MEMBERS_MAX) return `has more than ${PK_MEMBERS_MAX} members`;
  let left = PK_LENGTH_MAX;
  for (const member of pk) {
    left = typeof member === 'string' ? left - member.length : leftAfter(member, left, 0);
    if (left < 0) return `has more than ${PK_LENGTH_MAX} characters`;
  }
  return undefined;
}

/** @returns the characters that are left after a value; negative if it has more */
function leftAfter(value: unknown, characters: number, depth: number): number {
  if (typeof value === 'string') return characters - value.length - 1;
  // A deeper value is refused by `valueFault`.
  if (typeof value !== 'object' || value === null || depth > VALUE_DEPTH_MAX) return characters - 1;
  let left = characters - 1;
  for (const [name, member] of Object.entries(value)) {
    left = leftAfter(member, left - name.length, depth + 1);
    if (left < 0) break;
  }
  return left;
}

/**
 * A text that is equal for two primary keys exactly if they mean the same row: their members are
 * equal, in order. Numbers and bigints are compared by value; values of other kinds are equal only
 * within their kind.
 *
 * The first character of each member tells its kind, and JSON quoting keeps all text (separators,
 * nul, unpaired surrogates) within its quotes, so different keys have different texts.
 */
export function pkIdentity(pk: readonly unknown[]): string {
  const first = pk[0];
  if (pk.length === 1 && typeof first === 'string') return JSON.stringify(first);
  return pk.map(memberIdentity).join(',');
}

function memberIdentity(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return numberIdentity(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const special = tagged(value);
  if (special?.tag === 'bigint') return BigInt(String(special.digits)).toString();
  if (special?.tag === 'bytes') {
    return `b${toBase64(fromBase64(String(special.base64)))}`;
  }
  return `j${canonicalJson(value)}`;
}

function numberIdentity(value: number): string {
  if (Number.isSafeInteger(value)) return value === 0 ? '0' : String(value);
  return Number.isInteger(value) ? BigInt(value).toString() : String(value);
}

/** JSON with the members of objects in one order, so that equal values have equal texts. */
function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
}

/** A SQL value as hooks see it. */
export type SqlValue =
  | null
  | boolean
  | number
  | string
  | bigint
  | Uint8Array
  | JsonObject
  | readonly unknown[];
export interface JsonObject {
  readonly [key: string]: unknown;
}

/**
 * The result shares nothing with the JSON value: a hook may change it in place, for instance sort a
 * list, without changing what the client sent.
 */
export function decodeValue(value: unknown): SqlValue {
  if (typeof value !== 'object' || value === null) return value as SqlValue;
  const special = tagged(value);
  if (special?.tag === 'bigint') return BigInt(String(special.digits));
  if (special?.tag === 'bytes') return fromBase64(String(special.base64));
  // Copied as JSON: assigning a member `__proto__` would set the prototype.
  return JSON.parse(JSON.stringify(value));
}

export function encodeValue(value: SqlValue): unknown {
  if (typeof value === 'bigint') return { __bigint: value.toString() };
  if (value instanceof Uint8Array) return { __bin: toBase64(value) };
  return value;
}
