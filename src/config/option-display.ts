/** How values are shown to people: without anything secret. */

import { inspect } from 'node:util';
import type { ConfigOption } from './options.ts';

const MASK = '***';
/** Of a wrong value: enough to recognise it. */
const SHOWN_LENGTH_MAX = 120;

/** An option's value for an error or for `check`: secrets and passwords in URLs are masked. */
export function optionToText(option: ConfigOption, value: unknown): string {
  if (option.isSecret) {
    return Array.isArray(value) ? `${MASK} (${value.length})` : MASK;
  }
  if (option.path === 'hooks.modules' && Array.isArray(value)) {
    return valueToText(value.map(entryToName));
  }
  return valueToText(value);
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
    .replace(/([?&][^=&#\s"]*(?:password|passwd|secret|token|key)=)[^&#\s"]+/gi, `$1${MASK}`);
}

/** Only the module's name: its options may hold keys. */
function entryToName(entry: unknown): unknown {
  const module: unknown = Array.isArray(entry) ? entry[0] : entry;
  return typeof module === 'object' && module !== null ? Reflect.get(module, 'name') : module;
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
