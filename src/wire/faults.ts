/** Makes refusals that say what is wrong and where. */

import { SyncError } from '../errors/sync-error.ts';
import { toPlacedFault } from './place.ts';

/** @param place as in JavaScript: `changes[3].pk`; empty for the input itself */
export function refuse(place: string, what: string): never {
  throw new SyncError('MESSAGE_ERROR', place === '' ? what : `${place}: ${what}`);
}

/**
 * Refuses a value with the first fault that a validator finds.
 * @param validator one that does not check the members of lists in an object
 * @param value a value that it does not accept
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

/**
 * A validator takes some microseconds for each member of a list, right or wrong, to find a fault.
 */
function withEmptyLists(value: unknown): unknown {
  if (!isObject(value)) return Array.isArray(value) ? [] : value;
  const fields = Object.entries(value);
  return Object.fromEntries(fields.map(([name, it]) => [name, Array.isArray(it) ? [] : it]));
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
