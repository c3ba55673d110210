/** How values are shown to people: without anything secret. */

import { inspect } from 'node:util';
import { kindToText } from '../options/plain-object.ts';
import { SchemaReader } from '../options/schema-reader.ts';
import type { ConfigOption } from './options.ts';

const MASK = '***';
/** Of a wrong value: enough to recognise it. */
const SHOWN_LENGTH_MAX = 120;

/** An option's value for an error or for `check`: secrets and passwords in URLs are masked. */
export function optionToText(option: ConfigOption, value: unknown): string {
  if (option.isSecret) {
    return Array.isArray(value) ? `${MASK} (${value.length})` : MASK;
  }
  if (option.path === 'hooks.modules' && typeof value === 'object') {
    // An entry's options may hold keys, and so may what should be a list of them.
    return Array.isArray(value) ? valueToText(value.map(entryToName)) : kindToText(value);
  }
  return valueToText(value);
}

/** The value of an option in a configuration, by its path. */
export function valueAt(tree: object, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (node, key) =>
        typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined,
      tree,
    );
}

/** As one short line, for an error. */
export function shorten(text: string): string {
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text;
}

/** Any value on one line, passwords in URLs masked. */
export function valueToText(value: unknown): string {
  const text = toJson(value) ?? inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY });
  return maskUrl(text);
}

/** A URL without its password: `postgres://me:***@host/db?password=***`. */
export function maskUrl(text: string): string {
  return text
    .replace(/(:\/\/[^/?#\s:@]*):[^/?#\s]*@/g, `$1:${MASK}@`)
    .replace(/([?&][^=&?#\s"]*(?:password|passwd|secret|token|key)=)[^&#\s"]+/gi, `$1${MASK}`);
}

/** Only the module's name: its options may hold keys. */
function entryToName(entry: unknown): unknown {
  const isPlaced = typeof entry === 'object' && entry !== null && 'module' in entry;
  const module: unknown = Array.isArray(entry) ? entry[0] : isPlaced ? entry.module : entry;
  return typeof module === 'object' && module !== null ? Reflect.get(module, 'name') : module;
}

const SECRET_NAME =
  /secret|token|passw|pwd|credential|authorization|cookie|private|api.?key|^key$/i;
/** Of a variable that says where a secret is. */
const NAME_OF_PLACE = /_(?:FILE|PATH|DIR|DIRECTORY)$/i;

/**
 * The options of a hook module on one line: without what its schema marks as secret, what is called
 * as secrets are, and passwords in URLs.
 */
export function hookOptionsToText(options: unknown, schema?: unknown): string {
  const reader = new SchemaReader(schema);
  return maskUrl(toJson(withoutSecrets(options, [schema], reader)) ?? '');
}

/** Texts in the options of a hook module that are called as secrets are. */
export function secretsInOptions(options: unknown): string[] {
  const found: unknown[] = [];
  withoutSecrets(options, [], new SchemaReader(undefined), (secret) => found.push(secret));
  return found.flatMap(textsIn);
}

/** Whether a variable of the environment has a secret, by its name or as the password of a URL. */
export function isSecretVariable(name: string, value: string): boolean {
  const isCalledSo = SECRET_NAME.test(name) && !NAME_OF_PLACE.test(name);
  return value !== '' && (isCalledSo || maskUrl(value) !== value);
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

const MARKED = [{ secret: true }];

/**
 * @param schemas all that may hold for the value: one that marks it is enough
 * @param onSecret gets what is left out
 */
function withoutSecrets(
  value: unknown,
  schemas: readonly unknown[],
  reader: SchemaReader,
  onSecret?: (secret: unknown) => void,
): unknown {
  if (reader.all(schemas).some((schema) => Boolean(schema.secret))) {
    onSecret?.(value);
    return Array.isArray(value) ? `${MASK} (${value.length})` : MASK;
  }
  if (value instanceof RegExp) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return '[function]';
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    return value.map((item, i) =>
      withoutSecrets(item, reader.itemsOf(schemas, i), reader, onSecret),
    );
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      // A name is enough where no schema says otherwise; a number or a switch is no secret.
      const isCalledSo =
        SECRET_NAME.test(name) && (typeof member === 'string' || typeof member === 'object');
      const inner = isCalledSo ? MARKED : reader.membersOf(schemas, name);
      return [name, withoutSecrets(member, inner, reader, onSecret)];
    }),
  );
}

function toJson(value: unknown): string | undefined {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return String(value);
  }
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
