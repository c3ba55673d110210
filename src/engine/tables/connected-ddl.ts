/**
 * Collects the DDL of names that renames connect, as one list for all of them, for those who decide whether it
 * may be told: whether DDL of these names takes effect may hang on any of it.
 */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import { NameMap } from '../records/name-map.ts';
import {
  isLive,
  newestOf,
  type Slot,
  type TableRecord,
  toWireMigration,
} from '../records/table-record.ts';
import { bareDrop } from './bare-ddl.ts';
import { type Catalog, namesOfSlot } from './catalog.ts';

/** As it was sent, also what is not sent to others; `undefined` if some is not known, or it is too much. */
type Connected = readonly WireMigration[] | undefined;

const NONE: Connected = [];

/** Statements or names: others wait while they are gone through, in 20 ms. */
const CONNECTED_MAX = 4000;

export class ConnectedDdl {
  readonly #catalog: Catalog;
  readonly #byName = new NameMap<{ ddl: Connected }>();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  of(schema: string, table: string): Connected {
    const known = this.#byName.get(schema, table);
    if (known !== undefined) return known.ddl;
    const names = new Set([table]);
    const slots = new Set<Slot>();
    const isAll = this.#collect(schema, names, slots);
    const ddl = isAll ? this.#ddlOf(schema, names, [...slots]) : undefined;
    // Nothing is kept of names that were never used: a client may make up any number of them.
    if (ddl?.length === 0) return NONE;
    for (const name of names) this.#byName.set(schema, name, { ddl });
    return ddl;
  }

  #ddlOf(schema: string, names: Iterable<string>, slots: readonly Slot[]): Connected {
    const ddl = slots.map(toWireMigration);
    const kept = new Set(slots.flatMap((slot) => [slot.hlc, newestOf(slot)]));
    for (const name of names) {
      const floors = new Set<HlcText>();
      for (const [until, id] of this.#leadsOf(schema, name)) {
        const table = this.#catalog.table(id);
        // Other DDL has taken the slot of what has made it.
        if (table !== undefined && isMade(table) && !kept.has(table.made)) return undefined;
        floors.add(table === undefined ? until : table.floor);
      }
      for (const floor of floors) {
        if (floor !== HLC_MIN && !kept.has(floor)) ddl.push(bareDrop(schema, name, floor));
      }
    }
    return ddl;
  }

  /** @returns whether that is all of it, and not too much */
  #collect(schema: string, names: Set<string>, slots: Set<Slot>): boolean {
    const ids = new Set<number>();
    for (const each of names) {
      const known = this.#byName.get(schema, each);
      if (known !== undefined && known.ddl === undefined) return false;
      for (const slot of this.#catalog.slotsOf(schema, each)) {
        slots.add(slot);
        for (const other of namesOfSlot(slot)) names.add(other);
        if (slots.size > CONNECTED_MAX) return false;
      }
      for (const [, id] of this.#leadsOf(schema, each)) {
        // A name may have led to many tables, and these may have had many names.
        if (ids.has(id)) continue;
        ids.add(id);
        for (const other of this.#catalog.namesOf(id)) names.add(other.table);
        if (names.size > CONNECTED_MAX) return false;
      }
    }
    return true;
  }

  #leadsOf(schema: string, table: string): readonly (readonly [until: HlcText, id: number])[] {
    const name = this.#catalog.name(schema, table);
    return name === undefined ? [] : [...(name.past ?? []), [HLC_MIN, name.id]];
  }
}

/** Whether DDL has made it, and it is there. */
function isMade(table: TableRecord): table is TableRecord & { made: HlcText } {
  return isLive(table) && table.made !== undefined && table.made !== HLC_MIN;
}
