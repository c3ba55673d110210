/** What has to be done to a replica so that it holds what a store does. */

import type { StoredValue, StoreOperation } from '../stores/store.ts';
import { entryOf, LEAD, META } from './entries.ts';
import type { Replica } from './replica.ts';

export function difference(
  replica: Replica,
  entries: Iterable<[key: string, value: StoredValue]>,
): StoreOperation[] {
  const gone = new Map(replica.entries());
  const operations: StoreOperation[] = [];
  for (const [key, value] of entries) {
    const held = gone.get(key);
    gone.delete(key);
    if (key === LEAD || isEqual(held, value)) continue;
    // The rows that are shown are those of the generation that it names.
    if (key === META) operations.unshift(entryOf(key, value));
    else operations.push(entryOf(key, value));
  }
  gone.delete(META);
  for (const key of gone.keys()) operations.push(entryOf(key));
  return operations;
}

/** Of JSON values, and by the order of their members too: where only that differs it is put once more. */
function isEqual(a: unknown, b: unknown): boolean {
  return a === b || (a !== undefined && JSON.stringify(a) === JSON.stringify(b));
}
