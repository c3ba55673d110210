/**
 * The tables of a rule, as `table` or `schema.table`. Names are compared as the SQL engines of
 * devices do: they ignore case, and a table without a schema is of `main`. The coordinator itself
 * tells such names apart.
 */

import type { SchemaMigration } from '../protocol/types.ts';
import { tablesInDdl } from './ddl-tables.ts';
import { foldName, foldSchema } from './same-name.ts';

interface Named {
  schema: string;
  table: string;
}

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

  /** The first of its tables that a migration names, or that its DDL text may read or change. */
  findInMigration(migration: SchemaMigration): string | undefined {
    const { type, schema, table, fromTable, ddl } = migration;
    // An index has a name of its own.
    const names = type === 'add_index' || type === 'drop_index' ? [] : [fromTable, table];
    for (const name of names) {
      if (name !== undefined && this.get({ schema, table: name }) !== undefined) return name;
    }
    return this.findInDdl(ddl);
  }
}
