/**
 * The text of an error for a log: its stack, its code, and the same of its causes. Never its other
 * properties: libraries that check credentials put there what they found, such as all claims of a
 * token.
 */

import { inspect, types } from 'node:util';

/** Further causes are left out: a chain of causes may be a circle. */
const CAUSES_MAX = 5;

/** @param thrown anything. If its getters throw, so does this */
export function errorToText(thrown: unknown): string {
  const parts: string[] = [];
  let error = thrown;
  do {
    parts.push(partToText(error));
    error = isError(error) ? error.cause : undefined;
  } while (error !== undefined && parts.length <= CAUSES_MAX);
  return parts.join('\n[cause]: ');
}

/** The message of an error alone. */
export function errorToMessage(thrown: unknown): string {
  if (isError(thrown)) return String(thrown.message) || String(thrown.name);
  return partToText(thrown);
}

/** Whether it is an error, also one of another realm. */
export function isError(thrown: unknown): thrown is Error {
  return thrown instanceof Error || types.isNativeError(thrown);
}

function partToText(thrown: unknown): string {
  if (!isError(thrown)) return isPrimitive(thrown) ? inspect(thrown) : 'an object that is no Error';
  const { name, message, stack } = thrown;
  const text = typeof stack === 'string' && stack !== '' ? stack : `${name}: ${message}`;
  const code = 'code' in thrown ? thrown.code : undefined;
  return typeof code === 'string' || typeof code === 'number' ? `${text} (code ${code})` : text;
}

function isPrimitive(value: unknown): boolean {
  return value === null || (typeof value !== 'object' && typeof value !== 'function');
}
