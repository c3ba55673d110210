/** How a refusal says where and what is wrong. Only a refusal pays for finding that out. */

import { SyncError } from '../errors/sync-error.ts';
import { toPlacedFault } from './place.ts';

/** @param place as in JavaScript: `changes[3].pk`; empty for the input itself */
export function refuse(place: string, what: string): never {
  throw new SyncError('MESSAGE_ERROR', place === '' ? what : `${place}: ${what}`);
}

/**
 * The first fault that a validator finds.
 * @param validator of which it doesn't matter what is in the lists of an object
 * @param value that it does not accept
 */
export function explain(
  validator: { Errors(value: unknown): object[] },
  value: unknown,
  place: string,
): never {
  const [first = {}] = validator.Errors(withEmptyLists(value));
  const fault = toPlacedFault(first);
  refuse(`${place}${fault.place}`.replace(/^\./, ''), fault.message);
}

/** To say what is wrong takes some microseconds for each member that there is, right or wrong. */
function withEmptyLists(value: unknown): unknown {
  if (!isObject(value)) return Array.isArray(value) ? [] : value;
  const fields = Object.entries(value);
  return Object.fromEntries(fields.map(([name, it]) => [name, Array.isArray(it) ? [] : it]));
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
