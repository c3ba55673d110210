/**
 * Rows of a snapshot are stored many to an entry: an entry costs a store as much as a hundred cells do.
 * A page holds rows that had no entry before, and is never written again. So the entry of a row, where
 * there is one, is newer than the page that the row is in; one that is gone has `null` there.
 */

import type { StoredValue, StoreOperation } from '../stores/store.ts';
import {
  entryOf,
  generationPrefix,
  PAGE,
  ROW,
  rowKeyOf,
  type StoredRow,
  splitKey,
} from './entries.ts';

/** Fewer new rows have entries of their own. */
const ROWS_MIN = 32;

/**
 * @param operations with rows of one generation
 * @param paged the keys of rows that are in pages; those that go into one are added
 * @param isHeld whether the replica has a row
 * @returns the operations as they are stored
 */
export function packed(
  operations: readonly StoreOperation[],
  paged: Set<string>,
  isHeld: (key: string) => boolean,
): StoreOperation[] {
  const isNew = (each: StoreOperation) =>
    each.type === 'put' && each.key.startsWith(ROW) && !paged.has(each.key) && !isHeld(each.key);
  const found = operations.filter(isNew);
  const fresh = new Set(found.length < ROWS_MIN ? [] : found);
  const rows: StoredValue[] = [];
  const stored: StoreOperation[] = [];
  let page = '';
  for (const operation of operations) {
    if (operation.type === 'put' && fresh.has(operation)) {
      page ||= PAGE + operation.key.slice(ROW.length);
      rows.push(operation.value);
      paged.add(operation.key);
    } else if (operation.type === 'delete' && paged.has(operation.key)) {
      stored.push(entryOf(operation.key, null));
    } else stored.push(operation);
  }
  if (page !== '') stored.push(entryOf(page, rows));
  return stored;
}

/** @returns the entries with one for each row, and the keys of rows that are in pages */
export function unpacked(entries: ReadonlyMap<string, StoredValue>): {
  entries: Map<string, StoredValue>;
  paged: Set<string>;
} {
  const paged = new Set<string>();
  const all = new Map(entries);
  for (const [key, value] of entries) {
    if (!key.startsWith(PAGE)) continue;
    all.delete(key);
    const prefix = generationPrefix(splitKey(key).generation);
    for (const row of value as StoredRow[]) {
      const rowKey = prefix + rowKeyOf(row);
      paged.add(rowKey);
      if (!all.has(rowKey)) all.set(rowKey, row);
    }
  }
  for (const [key, value] of all) if (value === null) all.delete(key);
  return { entries: all, paged };
}
