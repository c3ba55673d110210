/**
 * Finds the DDL that has made what was sent void, or has led it to another table than its name says, for those
 * who decide whether that may be told.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireChange, WireMigration } from '../../protocol/schemas.ts';
import { NameMap } from '../records/name-map.ts';
import { newestOf, type Slot, type TableRecord, toWireMigration } from '../records/table-record.ts';
import { bareDrop, bareRename } from './bare-ddl.ts';
import type { Catalog } from './catalog.ts';
import { ConnectedDdl } from './connected-ddl.ts';
import { OTHER_NAMES_MAX } from './table-aliases.ts';
import { bearerOf } from './table-names.ts';

/** A catalog is immutable: its DDL is ordered once, however many changes have been made void. */
const voidingByCatalog = new WeakMap<Catalog, VoidingDdl>();

export function voidingOf(catalog: Catalog): VoidingDdl {
  const known = voidingByCatalog.get(catalog);
  if (known !== undefined) return known;
  const voiding = new VoidingDdl(catalog);
  voidingByCatalog.set(catalog, voiding);
  return voiding;
}

type Named = Pick<WireChange, 'schema' | 'table' | 'hlc'>;

export class VoidingDdl {
  readonly #catalog: Catalog;
  readonly #byName = new NameMap<ReadonlyMap<HlcText, Slot>>();
  /** Of tables with several names: the DDL of a drop under any of these. */
  readonly #ofTables = new Map<string, Slot | undefined>();
  readonly #dropsOfTables = new Map<number, readonly WireMigration[] | undefined>();
  readonly #connected: ConnectedDdl;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
    this.#connected = new ConnectedDdl(catalog);
  }

  /**
   * @param by see `voidedBy`
   * @returns as it was sent; a bare drop, where it is not kept any more; `undefined` if the table
   *   had several names, since it is not known then under which it was dropped
   */
  find({ schema, table, hlc }: Named, by: HlcText): WireMigration | undefined {
    const own = this.#ofName(schema, table)?.get(by);
    if (own !== undefined) return toWireMigration(own);
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    if (typeof bearer !== 'string' && this.#hasOtherNames(bearer, table)) {
      const slot = this.#ofTable(bearer, by);
      return slot && toWireMigration(slot);
    }
    return bareDrop(schema, table, by);
  }

  /**
   * What has dropped the table of an item. Where it is not known under which of several names it was dropped,
   * it is a bare drop of each, in one list for all items of that table.
   * @returns `undefined` if it had more than `OTHER_NAMES_MAX` others
   */
  drops(item: Named): readonly WireMigration[] | undefined {
    const { schema, table, hlc } = item;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    if (typeof bearer === 'string') return [bareDrop(schema, table, hlc)];
    const { id, floor } = bearer;
    const found = this.find(item, floor);
    if (found !== undefined) return [found];
    if (this.#dropsOfTables.has(id)) return this.#dropsOfTables.get(id);
    const drops: WireMigration[] = [];
    for (const name of this.#catalog.namesOf(id)) {
      drops.push(bareDrop(name.schema, name.table, floor));
      if (drops.length > OTHER_NAMES_MAX + 1) break;
    }
    const told = drops.length > OTHER_NAMES_MAX + 1 ? undefined : drops;
    this.#dropsOfTables.set(id, told);
    return told;
  }

  /**
   * What a migration that did not fit may have met: all DDL that renames connect with its names, since where any of
   * these names leads may hang on any of that.
   * @returns lists that all migrations of these names share; `undefined` if it is not known
   */
  inTheWay(migration: WireMigration): readonly (readonly WireMigration[])[] | undefined {
    const { schema, table, fromTable = table, hlc } = migration;
    const met = new Set<readonly WireMigration[]>();
    for (const name of [table, fromTable]) {
      const ddl = this.#connected.of(schema, name);
      if (ddl === undefined) return undefined;
      met.add(ddl);
    }
    const isOther = (other: WireMigration) => other.hlc !== hlc;
    // It is recorded itself, and can't have been what it met.
    return [...met].some((ddl) => ddl.some(isOther)) ? [...met] : undefined;
  }

  /** What has given a table its name, for an item that names it otherwise. */
  rename(item: Named, to: string): WireMigration {
    const { schema, table, hlc } = item;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    const slot = typeof bearer === 'string' ? undefined : this.#ofTable(bearer, bearer.since);
    if (slot !== undefined) return toWireMigration(slot);
    return bareRename(schema, table, to, hlc);
  }

  /** By the HLCs at which it was sent first and last. */
  #ofName(schema: string, table: string): ReadonlyMap<HlcText, Slot> | undefined {
    const known = this.#byName.get(schema, table);
    // Only names of the catalog are kept: a client may make up any number of others.
    if (known !== undefined || this.#catalog.name(schema, table) === undefined) return known;
    const byHlc = new Map<HlcText, Slot>();
    for (const slot of this.#catalog.slotsOf(schema, table)) {
      for (const hlc of [slot.hlc, newestOf(slot)]) if (!byHlc.has(hlc)) byHlc.set(hlc, slot);
    }
    this.#byName.set(schema, table, byHlc);
    return byHlc;
  }

  #hasOtherNames({ id }: TableRecord, table: string): boolean {
    for (const name of this.#catalog.namesOf(id)) if (name.table !== table) return true;
    return false;
  }

  /** All that a drop makes void has one answer, under whichever name it was written. */
  #ofTable({ id }: TableRecord, by: HlcText): Slot | undefined {
    const key = `${id} ${by}`;
    if (this.#ofTables.has(key)) return this.#ofTables.get(key);
    let found: Slot | undefined;
    for (const name of this.#catalog.namesOf(id)) {
      found = this.#ofName(name.schema, name.table)?.get(by);
      if (found !== undefined) break;
    }
    this.#ofTables.set(key, found);
    return found;
  }
}
