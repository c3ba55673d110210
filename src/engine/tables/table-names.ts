/**
 * To which table a change or a migration belongs: a pure function of the catalog, the name that it
 * was written for, and its HLC. Reading ahead, merging, refusing and reading single rows all ask
 * here, so that they can't come to different answers.
 */

import { compareHlc, HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { NameRecord, TableRecord } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';

/** `void`: to a table that is gone. `unknown`: nobody has spoken of this name yet. */
export type Bearer = TableRecord | 'void' | 'unknown';

/** The table that bore a name at an HLC, wherever it has gone on since. */
export function bearerOf(
  catalog: CatalogView,
  schema: string,
  table: string,
  hlc: HlcText,
): Bearer {
  const name = catalog.name(schema, table);
  if (name === undefined) return 'unknown';
  let found = catalog.table(leadOf(name, hlc));
  for (let steps = 0; found?.into !== undefined && compareHlc(hlc, found.floor) > 0; steps++) {
    found = successorOf(catalog, found, steps);
  }
  return found ?? 'void';
}

/** Whether a name leads to the same table whatever the HLC. */
export function hasOneBearer(catalog: CatalogView, schema: string, table: string): boolean {
  const name = catalog.name(schema, table);
  return (
    name !== undefined && name.past === undefined && catalog.table(name.id)?.into === undefined
  );
}

/** More than there ever are: a table gets one once, and that one has none at the time. */
const SUCCESSORS_MAX = 100_000;

/**
 * The table that has taken the place of one that ended.
 * @param steps how many were gone through before
 * @throws SyncError STORE_DAMAGED, if they lead in a circle
 */
export function successorOf(
  catalog: CatalogView,
  { id, into = 0 }: TableRecord,
  steps: number,
): TableRecord | undefined {
  if (steps < SUCCESSORS_MAX) return catalog.table(into);
  throw new SyncError('STORE_DAMAGED', `table ${id} has ended in itself`);
}

/** Most changes are new, and a name may have led to many tables: so from the end. */
function leadOf({ id, past = [] }: NameRecord, hlc: HlcText): number {
  let lead = id;
  for (let i = past.length - 1; i >= 0; i--) {
    const [until, before] = past[i] ?? [HLC_MIN, 0];
    if (compareHlc(hlc, until) >= 0) break;
    lead = before;
  }
  return lead;
}

/** Where a change goes; what is no newer than the floor of its table goes nowhere. */
export function targetOf(
  catalog: CatalogView,
  schema: string,
  table: string,
  hlc: HlcText,
): Bearer {
  const bearer = bearerOf(catalog, schema, table, hlc);
  return typeof bearer !== 'string' && isBelowFloor(bearer, hlc) ? 'void' : bearer;
}

/** Whether a drop has done away with what is dated so. Without one nothing is, whatever its date. */
export function isBelowFloor({ floor }: Pick<TableRecord, 'floor'>, hlc: HlcText): boolean {
  return floor !== HLC_MIN && compareHlc(hlc, floor) <= 0;
}

/**
 * The same for many changes, of which most are of one table: where its name has only ever led to it,
 * and no drop has spoken, the HLC decides nothing. To be used while the catalog stays as it is, but
 * for tables that are made.
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
