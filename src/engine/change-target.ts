/** Where changes belong by the catalog as it is, whatever names they were written for. */

import type { WireChange } from '../wire/schemas.ts';
import { pkIdentity } from '../wire/values.ts';
import type { TableRecord } from './catalog.ts';
import type { CatalogDraft } from './catalog-draft.ts';
import { changedRowJson, type JsonNames } from './change-json.ts';
import { isOfSameRow } from './merge-plan.ts';
import { type RowAddress, rowAddress } from './row-set.ts';
import type { Place } from './table-timeline.ts';

/** Changes of one row that follow each other share it. */
export interface ChangeTarget {
  table: TableRecord;
  place: Place;
  address: RowAddress;
  /** The key as these changes spell it, JSON. */
  pk: string;
  /** See `changedRowJson`. */
  json: string;
}

/** One for each change; `undefined` for a change to a table that was dropped later. */
export function targetsOf(
  changes: readonly WireChange[],
  catalog: CatalogDraft,
  names: JsonNames,
): (ChangeTarget | undefined)[] {
  const { timeline } = catalog.current;
  let last: WireChange | undefined;
  let target: ChangeTarget | undefined;
  return changes.map((change) => {
    // Where names have changed their meaning it takes the HLC to tell the table.
    const isSame = last !== undefined && timeline.isEmpty && isOfSameRow(change, last);
    if (!isSame) target = targetOf(change, catalog, names);
    last = change;
    return target;
  });
}

function targetOf(
  { schema, table: name, hlc, pk: key }: WireChange,
  catalog: CatalogDraft,
  names: JsonNames,
): ChangeTarget | undefined {
  const place = catalog.current.timeline.resolve(schema, name, hlc);
  if (place === undefined) return undefined;
  const table = catalog.tableNamed(schema, place.table);
  const address = rowAddress(table.id, pkIdentity(key));
  const pk = JSON.stringify(key);
  const json = changedRowJson(names.json(schema), names.json(name), pk);
  return { place, table, address, pk, json };
}
