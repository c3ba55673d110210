/**
 * The tables of a rule, as `table` or `schema.table`. Names are compared as the SQL engines of
 * devices do: they ignore case, and a table without a schema is of `main`. The coordinator itself
 * tells such names apart.
 */

import type { ChangeSet, SchemaMigration } from '../../protocol/types.ts';
import { undecoded } from '../../wire/lazy-change-set.ts';
import { runByTurns, type Steps, Stretch } from '../../wire/steps.ts';
import { DDL_CHARS_MAX } from '../ddl/scan.ts';
import { tablesInDdl } from '../ddl/tables.ts';
import { foldName, foldSchema } from '../same-name.ts';

interface Named {
  schema: string;
  table: string;
}

/** As how many changes the text of a migration counts: see `Stretch`. */
export function workOnDdl(ddl: string): number {
  return 1 + Math.min(ddl.length, DDL_CHARS_MAX) / CHARS_A_CHANGE;
}

/** Characters of DDL that take as long as one change. */
const CHARS_A_CHANGE = 100;

/**
 * A map by tables, which options name as `table` or `schema.table`.
 */
export class TableMap<Value> {
  readonly #values = new Map<string, Value>();

  /** A set of tables. */
  static of(names: readonly string[]): TableMap<true> {
    return new TableMap(names.map((name) => [name, true] as const));
  }

  constructor(entries: Iterable<readonly [name: string, value: Value]>) {
    for (const [name, value] of entries) this.#values.set(foldName(name), value);
  }

  /** The value of `schema.table`, or else of `table`. */
  get({ schema, table }: Named): Value | undefined {
    const name = foldName(table);
    return this.#values.get(`${foldSchema(schema)}.${name}`) ?? this.#values.get(name);
  }

  /** Whether it has a table of that name, in any schema. */
  hasName(table: string): boolean {
    const name = foldName(table);
    for (const rule of this.#values.keys()) {
      if (rule === name || rule.slice(rule.indexOf('.') + 1) === name) return true;
    }
    return false;
  }

  /**
   * The first of its tables, in any schema, that a DDL text may read or change; if the text is
   * obscure, any.
   */
  findInDdl(ddl: string): string | undefined {
    const { names, isObscure } = tablesInDdl(ddl);
    for (const rule of this.#values.keys()) {
      if (isObscure || names.has(rule) || names.has(rule.slice(rule.indexOf('.') + 1))) return rule;
    }
    return undefined;
  }

  /**
   * Whether change sets have a change or DDL of its tables. It decodes nothing, and lets other work
   * run meanwhile if there are many: a module need not look at a batch that has none.
   */
  areIn(changeSets: readonly ChangeSet[]): boolean | Promise<boolean> {
    return runByTurns(this.findInSteps(changeSets));
  }

  /** The same, in steps. */
  *findInSteps(changeSets: readonly ChangeSet[]): Steps<boolean> {
    const stretch = new Stretch();
    for (const changeSet of changeSets) {
      for (const change of undecoded(changeSet).changes) {
        if (this.get(change) !== undefined) return true;
        if (stretch.ends()) yield;
      }
    }
    return yield* this.areInDdl(changeSets);
  }

  /** Whether change sets have DDL of its tables. */
  *areInDdl(changeSets: readonly ChangeSet[]): Steps<boolean> {
    const stretch = new Stretch();
    for (const changeSet of changeSets) {
      for (const migration of undecoded(changeSet).schemaMigrations) {
        if (this.findInMigration(migration) !== undefined) return true;
        if (stretch.ends(workOnDdl(migration.ddl))) yield;
      }
    }
    return false;
  }

  /** The first of its tables that a migration names, or that its DDL text may read or change. */
  findInMigration(migration: Omit<SchemaMigration, 'hlc'>): string | undefined {
    const { type, schema, table, fromTable, ddl } = migration;
    // An index has a name of its own.
    const names = type === 'add_index' || type === 'drop_index' ? [] : [fromTable, table];
    for (const name of names) {
      if (name !== undefined && this.get({ schema, table: name }) !== undefined) return name;
    }
    return this.findInDdl(ddl);
  }
}
