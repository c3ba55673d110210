/**
 * Rows of a snapshot are stored many to an entry: an entry costs a store as much as a hundred cells do.
 * A page holds rows that had no entry before, and is never written again. So the entry of a row, where
 * there is one, is newer than the page that the row is in; one that is gone has `null` there.
 */

import type { StoredValue, StoreOperation } from '../stores/store.ts';
import { PAGE, ROW, rowKeyOf, type StoredRow, splitKey } from './entries.ts';

/** Fewer new rows have entries of their own. */
const ROWS_MIN = 32;

type Entries = [key: string, value: StoredValue][];
type Place = ReturnType<typeof splitKey>;

/** The keys of rows that are in pages, by generation. */
export class PagedRows {
  readonly #keys = new Map<number, Set<string>>();

  has(generation: number, key: string): boolean {
    return this.#keys.get(generation)?.has(key) ?? false;
  }

  add(generation: number, key: string): void {
    const keys = this.#keys.get(generation);
    if (keys === undefined) this.#keys.set(generation, new Set([key]));
    else keys.add(key);
  }

  clear(generation: number): void {
    this.#keys.delete(generation);
  }
}

/**
 * @param operations with rows of one generation
 * @param isHeld whether the replica has a row
 * @returns the operations as they are stored
 */
export function packed(
  operations: readonly StoreOperation[],
  paged: PagedRows,
  isHeld: (generation: number, key: string) => boolean,
): StoreOperation[] {
  const isNew = ({ generation, rest }: Place) =>
    !paged.has(generation, rest) && !isHeld(generation, rest);
  const places = operations.map((each) =>
    each.type !== 'clear' && each.key.startsWith(ROW) ? splitKey(each.key) : undefined,
  );
  const isPut = (i: number) => operations[i]?.type === 'put';
  const fresh = new Set(places.filter((place, i) => place && isPut(i) && isNew(place)));
  if (fresh.size < ROWS_MIN) return operations.map((each, i) => asStored(each, places[i], paged));
  const rows: StoredRow[] = [];
  const stored: StoreOperation[] = [];
  let page: string | undefined;
  for (const [i, operation] of operations.entries()) {
    const place = places[i];
    if (place === undefined || operation.type !== 'put' || !fresh.has(place)) {
      stored.push(asStored(operation, place, paged));
      continue;
    }
    page ??= `${PAGE}${place.generation}/${place.rest}`;
    rows.push(operation.value as StoredRow);
    paged.add(place.generation, place.rest);
  }
  if (page !== undefined) stored.push({ type: 'put', key: page, value: rows });
  return stored;
}

/** @param place of a row */
function asStored(
  operation: StoreOperation,
  place: Place | undefined,
  paged: PagedRows,
): StoreOperation {
  const isPaged = place !== undefined && paged.has(place.generation, place.rest);
  if (operation.type !== 'delete' || !isPaged) return operation;
  return { type: 'put', key: operation.key, value: null };
}

/** @returns the entries with one for each row, and which rows are in pages */
export function unpacked(entries: Entries): { entries: Entries; paged: PagedRows } {
  const paged = new PagedRows();
  const own = new Set(entries.map(([key]) => key));
  const all = entries.filter(([key, value]) => !key.startsWith(PAGE) && value !== null);
  for (const [key, value] of entries) {
    if (!key.startsWith(PAGE)) continue;
    const { generation } = splitKey(key);
    for (const row of value as StoredRow[]) {
      const rowKey = rowKeyOf(row);
      paged.add(generation, rowKey);
      const entry = `${ROW}${generation}/${rowKey}`;
      if (!own.has(entry)) all.push([entry, row]);
    }
  }
  return { entries: all, paged };
}
