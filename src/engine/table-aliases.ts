/**
 * All names that tables have gone by. A reader is sent a table under the name that it has now; whoever
 * decides what a reader may see has to know what it was called before as well, or a rename would
 * undo the decision.
 */

import type { WireMigration } from '../wire/schemas.ts';
import { type CatalogView, liveTable } from './catalog.ts';
import { NameMap } from './name-map.ts';
import { bearerOf } from './table-names.ts';
import { isOfIndex, type TableRecord } from './table-record.ts';

export class TableAliases {
  readonly #catalog: CatalogView;
  readonly #known = new NameMap<readonly string[]>();

  /** @param catalog that the names in what is sent are of */
  constructor(catalog: CatalogView) {
    this.#catalog = catalog;
  }

  /** The other names of a table that is sent under this one, each once. */
  ofTable({ schema, table }: { schema: string; table: string }): readonly string[] {
    const known = this.#known.get(schema, table);
    if (known !== undefined) return known;
    const others = new Set(this.#namesOf(liveTable(this.#catalog, schema, table)));
    others.delete(table);
    const names = [...others];
    this.#known.set(schema, table, names);
    return names;
  }

  /** The other names of the table that a migration is about, whatever became of it since. */
  ofMigration(migration: WireMigration): readonly string[] {
    if (isOfIndex(migration)) return [];
    const { schema, table, fromTable = table, hlc } = migration;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    const others = new Set([fromTable]);
    if (typeof bearer !== 'string') for (const name of this.#namesOf(bearer)) others.add(name);
    others.delete(table);
    return [...others];
  }

  *#namesOf(table: TableRecord | undefined): Generator<string> {
    if (table === undefined) return;
    for (const name of this.#catalog.namesOf(table.id)) yield name.table;
  }
}
