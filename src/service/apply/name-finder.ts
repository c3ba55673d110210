/** Finds the other names of what a client's changes and DDL are about. */

import { isOfIndex } from '../../engine/records/table-record.ts';
import { OTHER_NAMES_MAX, type TableAliases } from '../../engine/tables/table-aliases.ts';
import { tablesInDdl } from '../../hooks/ddl/tables.ts';
import { workOnDdl } from '../../hooks/names/table-list.ts';
import type { WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { type Steps, Stretch } from '../../wire/steps.ts';

/** A table name as written, and another name of the same table. */
export interface OtherName {
  name: string;
  other: string;
  /** The name is in the text of another table's DDL. */
  isInText: boolean;
}

/** A change set, and for each of its items the other names. */
export interface NamedSet {
  origin: WireChangeSet;
  ofChanges: readonly (readonly string[])[];
  ofMigrations: readonly (readonly OtherName[])[];
  /** The most other names that an item has. */
  most: number;
}

export class NameFinder {
  readonly #aliases: TableAliases;
  readonly #known = new Map<WireChangeSet, NamedSet>();

  constructor(aliases: TableAliases) {
    this.#aliases = aliases;
  }

  /** The change sets of which an item has an `i`th other name. */
  *withOther(changeSets: readonly WireChangeSet[], i: number): Steps<NamedSet[]> {
    const concerned: NamedSet[] = [];
    const stretch = new Stretch();
    for (const set of changeSets) {
      const named = this.#known.get(set) ?? (yield* this.#name(set, stretch));
      this.#known.set(set, named);
      if (i < named.most) concerned.push(named);
      if (stretch.ends(1 / 16)) yield;
    }
    return concerned;
  }

  *#name(origin: WireChangeSet, stretch: Stretch): Steps<NamedSet> {
    const ofChanges: (readonly string[])[] = [];
    const ofMigrations: (readonly OtherName[])[] = [];
    let most = 0;
    const add = <Names extends readonly unknown[]>(names: Names, all: Names[]) => {
      all.push(names);
      most = Math.max(most, names.length);
    };
    for (const change of origin.changes) {
      const names = this.#aliases.ofWritten(change);
      add(names, ofChanges);
      if (stretch.ends(1 + workOnNames(names))) yield;
    }
    for (const migration of origin.schemaMigrations) {
      const names = this.#ofMigration(migration);
      add(names, ofMigrations);
      if (stretch.ends(workOnDdl(migration.ddl) + workOnNames(names))) yield;
    }
    return { origin, ofChanges, ofMigrations, most };
  }

  /** Not more than it takes to tell that there are too many. */
  #ofMigration(migration: WireMigration): readonly OtherName[] {
    const found: OtherName[] = [];
    for (const other of this.#othersOf(migration)) {
      found.push(other);
      if (found.length > OTHER_NAMES_MAX) break;
    }
    return found;
  }

  *#othersOf(migration: WireMigration): Generator<OtherName> {
    const { schema, table, fromTable = table, hlc, ddl } = migration;
    const own = isOfIndex(migration) ? [] : [...new Set([table, fromTable])];
    for (const name of own) {
      const others = this.#aliases.ofWritten({ schema, table: name, hlc });
      for (const other of others) yield { name, other, isInText: false };
    }
    const ownFolded = new Set(own.map((name) => name.toLowerCase()));
    const { names, isTooLong } = tablesInDdl(ddl);
    for (const name of isTooLong ? this.#aliases.renamedFolded : names) {
      if (ownFolded.has(name)) continue;
      for (const other of this.#aliases.ofFolded(name)) yield { name, other, isInText: true };
    }
  }
}

/** As how many changes other names count: see `Stretch`. */
function workOnNames(names: readonly unknown[]): number {
  return names.length / OTHER_NAMES_MAX;
}
