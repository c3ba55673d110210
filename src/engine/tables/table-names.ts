/**
 * Finds the table of a change or a migration: a pure function of the catalog, the name that it was
 * written for, and its HLC. All parts of the engine use it, so that they can't differ.
 */

import { compareHlc, HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { TableRecord } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';
import { pastAt } from './past-leads.ts';

/** The table that has a name. `void`: it was dropped. `unknown`: the name was never used. */
export type Bearer = TableRecord | 'void' | 'unknown';

/** The table that had a name at an HLC, or its successor. */
export function bearerOf(
  catalog: CatalogView,
  schema: string,
  table: string,
  hlc: HlcText,
): Bearer {
  const name = catalog.name(schema, table);
  if (name === undefined) return 'unknown';
  let found = catalog.table(pastAt(name, hlc)?.[1] ?? name.id);
  for (let steps = 0; found?.into !== undefined && compareHlc(hlc, found.floor) > 0; steps++) {
    found = successorOf(catalog, found, steps);
  }
  return found ?? 'void';
}

/** Whether a name leads to the same table at every HLC. */
export function hasOneBearer(catalog: CatalogView, schema: string, table: string): boolean {
  const name = catalog.name(schema, table);
  return (
    name !== undefined && name.past === undefined && catalog.table(name.id)?.into === undefined
  );
}

/** More successors than a sound catalog can have: beyond it they lead in a circle. */
const SUCCESSORS_MAX = 100_000;

/**
 * The table that has taken the place of another.
 * @param steps the number of successors that the caller has followed before
 * @throws SyncError STORE_DAMAGED, if they lead in a circle
 */
export function successorOf(
  catalog: CatalogView,
  { id, into = 0 }: TableRecord,
  steps: number,
): TableRecord | undefined {
  if (steps < SUCCESSORS_MAX) return catalog.table(into);
  throw new SyncError('STORE_DAMAGED', `the successors of table ${id} lead in a circle`);
}

/** The table of a change; `void` if the change is not newer than the table's floor. */
export function targetOf(
  catalog: CatalogView,
  schema: string,
  table: string,
  hlc: HlcText,
): Bearer {
  const bearer = bearerOf(catalog, schema, table, hlc);
  return typeof bearer !== 'string' && isBelowFloor(bearer, hlc) ? 'void' : bearer;
}

/**
 * What has made a change `void`: the HLC of a drop, or of what has used the name again; `undefined`
 * if that is not known.
 */
export function voidedBy(
  catalog: CatalogView,
  schema: string,
  table: string,
  hlc: HlcText,
): HlcText | undefined {
  const bearer = bearerOf(catalog, schema, table, hlc);
  if (typeof bearer !== 'string') return bearer.floor;
  const name = catalog.name(schema, table);
  return name && pastAt(name, hlc)?.[0];
}

/**
 * Whether a drop has removed what has this HLC. A floor of `HLC_MIN` means that there was no drop.
 */
export function isBelowFloor({ floor }: Pick<TableRecord, 'floor'>, hlc: HlcText): boolean {
  return floor !== HLC_MIN && compareHlc(hlc, floor) <= 0;
}

/**
 * `targetOf` for many changes, most of them of one table. It remembers the last table if its name
 * never led elsewhere and it was never dropped, since then the HLC does not matter. While it is
 * used, tables may only be added to the catalog.
 */
export class TargetFinder {
  readonly #catalog: CatalogView;
  #schema: string | undefined;
  #table: string | undefined;
  #found: TableRecord | undefined;

  constructor(catalog: CatalogView) {
    this.#catalog = catalog;
  }

  find({ schema, table, hlc }: { schema: string; table: string; hlc: HlcText }): Bearer {
    if (table === this.#table && schema === this.#schema && this.#found) return this.#found;
    const name = this.#catalog.name(schema, table);
    const bearer = targetOf(this.#catalog, schema, table, hlc);
    if (typeof bearer !== 'string' && name?.past === undefined && bearer.floor === HLC_MIN) {
      this.#schema = schema;
      this.#table = table;
      this.#found = bearer;
    }
    return bearer;
  }
}
