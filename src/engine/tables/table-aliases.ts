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

/** The other names of what a name leads to. */
interface Led {
  /** `undefined`: the name leads there at every HLC. */
  bearer: Bearer | undefined;
  others: readonly string[];
}

const NONE: readonly string[] = [];

export class TableAliases {
  readonly #catalog: Catalog;
  /** Of each name what it was last found to lead to: most changes for a name are for one table. */
  readonly #known = new NameMap<Led>();
  readonly #written = new NameMap<Led>();
  #byFolded: ReadonlyMap<string, readonly string[]> | undefined;
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
    const sent = liveTable(this.#catalog, schema, table);
    return sent === undefined ? NONE : this.#othersOf(sent, schema, table);
  }

  /** The other names of the table that a migration is about, former and later ones. */
  ofMigration(migration: WireMigration): readonly string[] {
    if (isOfIndex(migration)) return NONE;
    const { schema, table, fromTable = table, hlc } = migration;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    const others = this.#othersOf(bearer, schema, table);
    return fromTable === table || others.includes(fromTable)
      ? others
      : listed([[fromTable], others], table);
  }

  /**
   * The other names of the table to which a change written for this name goes. SQL ignores the case
   * of names, so those of live tables whose name differs only in case are included.
   */
  ofWritten({ schema, table, hlc }: WrittenName): readonly string[] {
    const known = this.#written.get(schema, table);
    if (known !== undefined && known.bearer === undefined) return known.others;
    const bearer = bearerOf(this.#catalog, schema, table, hlc);
    const folded = this.ofFolded(table.toLowerCase());
    // Nothing is kept of names that were never used: a client may make up any number of them.
    if (bearer === 'unknown') return folded;
    if (known?.bearer === bearer) return known.others;
    const others = listed([folded, this.#othersOf(bearer, schema, table)], table);
    const isAlways = hasOneBearer(this.#catalog, schema, table);
    this.#written.set(schema, table, { bearer: isAlways ? undefined : bearer, others });
    return others;
  }

  /** The names of live tables with other names, in lower case. */
  get renamedFolded(): Iterable<string> {
    return this.#foldedOnce.keys();
  }

  /**
   * The other names of the live tables with this name, in any schema; not more than one more than
   * `OTHER_NAMES_MAX`.
   * @param name in lower case
   */
  ofFolded(name: string): readonly string[] {
    return this.#foldedOnce.get(name) ?? NONE;
  }

  get #foldedOnce(): ReadonlyMap<string, readonly string[]> {
    this.#byFolded ??= this.#fold();
    return this.#byFolded;
  }

  /** Goes through all tables at once: any number of them may have one name, in as many schemas. */
  #fold(): ReadonlyMap<string, readonly string[]> {
    const byName = new Map<string, Set<string>>();
    for (const table of this.#catalog.tables) {
      if (!isLive(table)) continue;
      const folded = table.table.toLowerCase();
      for (const { table: other } of this.#catalog.namesOf(table.id)) {
        if (other.toLowerCase() === folded) continue;
        const others = byName.get(folded) ?? new Set();
        byName.set(folded, others);
        if (others.size > OTHER_NAMES_MAX) break;
        others.add(other);
      }
    }
    return new Map([...byName].map(([name, others]) => [name, [...others]]));
  }

  #othersOf(bearer: Bearer, schema: string, table: string): readonly string[] {
    if (typeof bearer === 'string') return NONE;
    const known = this.#known.get(schema, table);
    if (known?.bearer === bearer) return known.others;
    const others = listed([this.#namesOf(bearer)], table);
    this.#known.set(schema, table, { bearer, others });
    return others;
  }

  *#namesOf({ id }: TableRecord): Generator<string> {
    for (const name of this.#catalog.namesOf(id)) yield name.table;
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
  return others.size === 0 ? NONE : [...others];
}
