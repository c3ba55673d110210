/**
 * All names that tables have had. A reader is sent a table under its current name. A hook that
 * decides what a reader may see has to know the former names as well, or a rename would undo its
 * decision.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import { NameMap } from '../records/name-map.ts';
import { isLive, isOfIndex, type TableRecord } from '../records/table-record.ts';
import { type Catalog, liveTable } from './catalog.ts';
import { type Bearer, bearerOf, hasOneBearer } from './table-names.ts';

/**
 * Hooks are asked under each name of a table, so one that has had more is neither shown nor written
 * to where there are any. No list is longer than it takes to tell: it may be made for each change.
 */
export const OTHER_NAMES_MAX = 64;

/** The name that a change was written for, and its HLC. */
export interface WrittenName {
  schema: string;
  table: string;
  hlc: HlcText;
}

/** A catalog is immutable, so its aliases are computed once. */
const aliasesByCatalog = new WeakMap<Catalog, TableAliases>();

/** @param catalog the one by whose names the changes are sent or written */
export function aliasesOf(catalog: Catalog): TableAliases {
  const known = aliasesByCatalog.get(catalog);
  if (known !== undefined) return known;
  const aliases = new TableAliases(catalog);
  aliasesByCatalog.set(catalog, aliases);
  return aliases;
}

export class TableAliases {
  readonly #catalog: Catalog;
  readonly #known = new NameMap<readonly string[]>();
  /** Results of `ofWritten` for names that have always led to one table. */
  readonly #written = new NameMap<readonly string[]>();
  #liveByFolded: ReadonlyMap<string, readonly TableRecord[]> | undefined;
  #areNone: boolean | undefined;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /**
   * Whether every table has had one name only, so that whatever is written or sent has no other.
   * Most databases are so; to look at each of 100 changes took 6 µs, and this takes none of them.
   */
  get areNone(): boolean {
    this.#areNone ??= [...this.#catalog.tables].every(({ id, into }) => {
      const [, second] = this.#catalog.namesOf(id);
      return into === undefined && second === undefined;
    });
    return this.#areNone;
  }

  /** The other names of a table that is sent under this one. */
  ofTable({ schema, table }: { schema: string; table: string }): readonly string[] {
    const known = this.#known.get(schema, table);
    if (known !== undefined) return known;
    const sent = liveTable(this.#catalog, schema, table);
    if (sent === undefined) return [];
    const names = listed([this.#namesOf(sent)], table);
    this.#known.set(schema, table, names);
    return names;
  }

  /** The other names of the table that a migration is about, former and later ones. */
  ofMigration(migration: WireMigration): readonly string[] {
    if (isOfIndex(migration)) return [];
    const { schema, table, fromTable = table, hlc } = migration;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    return listed([[fromTable], this.#namesOf(bearer)], table);
  }

  /**
   * The other names of the table to which a change written for this name goes. SQL ignores the case
   * of names, so those of live tables whose name differs only in case are included.
   */
  ofWritten({ schema, table, hlc }: WrittenName): readonly string[] {
    const known = this.#written.get(schema, table);
    if (known !== undefined) return known;
    const bearer: Bearer = bearerOf(this.#catalog, schema, table, hlc);
    const names = listed([this.ofFolded(table.toLowerCase()), this.#namesOf(bearer)], table);
    // Only names of the catalog are cached: a client may make up any number of others.
    if (hasOneBearer(this.#catalog, schema, table)) this.#written.set(schema, table, names);
    return names;
  }

  /** The names of all live tables, in lower case. */
  get liveFolded(): Iterable<string> {
    this.#liveByFolded ??= this.#foldLive();
    return this.#liveByFolded.keys();
  }

  /** The other names of the live tables with this name, in any schema. @param name in lower case */
  ofFolded(name: string): ReadonlySet<string> {
    this.#liveByFolded ??= this.#foldLive();
    const names = new Set<string>();
    for (const table of this.#liveByFolded.get(name) ?? []) {
      for (const other of this.#namesOf(table)) {
        if (other.toLowerCase() !== name) names.add(other);
        if (names.size > OTHER_NAMES_MAX) return names;
      }
    }
    return names;
  }

  #foldLive(): ReadonlyMap<string, readonly TableRecord[]> {
    const byName = new Map<string, TableRecord[]>();
    for (const table of this.#catalog.tables) {
      if (!isLive(table)) continue;
      const folded = table.table.toLowerCase();
      byName.set(folded, [...(byName.get(folded) ?? []), table]);
    }
    return byName;
  }

  *#namesOf(table: Bearer): Generator<string> {
    if (typeof table === 'string') return;
    for (const name of this.#catalog.namesOf(table.id)) yield name.table;
  }
}

/** All of them but one, without repeats; not more than one more than `OTHER_NAMES_MAX`. */
function listed(lists: readonly Iterable<string>[], own: string): readonly string[] {
  const others = new Set<string>();
  for (const names of lists) {
    for (const name of names) {
      if (name !== own) others.add(name);
      if (others.size > OTHER_NAMES_MAX) return [...others];
    }
  }
  return [...others];
}
