/**
 * Tables that a rule is about, as `table` or `schema.table`. SQL compares names without their case, and
 * a table without a schema is of `main`: what is one table to the engines of devices is one to a rule,
 * though the coordinator keeps names as they are.
 */

import type { SchemaMigration } from '../protocol/types.ts';
import { tablesInDdl } from './ddl-tables.ts';
import { foldName, foldSchema } from './same-name.ts';

interface Named {
  schema: string;
  table: string;
}

/**
 * By table, something that holds for it: the tables as options name them, `table` or `schema.table`, found as
 * devices find them.
 */
export class TableMap<Value> {
  readonly #values = new Map<string, Value>();

  /** Tables alone. */
  static of(names: readonly string[]): TableMap<true> {
    return new TableMap(names.map((name) => [name, true] as const));
  }

  constructor(entries: Iterable<readonly [name: string, value: Value]>) {
    for (const [name, value] of entries) this.#values.set(foldName(name), value);
  }

  /** Of the table alone, or with its schema, which goes first. */
  get({ schema, table }: Named): Value | undefined {
    const name = foldName(table);
    return this.#values.get(`${foldSchema(schema)}.${name}`) ?? this.#values.get(name);
  }

  /** Whether a table of that name, of whatever schema, is one of these. */
  hasName(table: string): boolean {
    const name = foldName(table);
    for (const rule of this.#values.keys()) {
      if (rule === name || rule.slice(rule.indexOf('.') + 1) === name) return true;
    }
    return false;
  }

  /** The first table, of whatever schema, that a DDL text may read or change: any, if it is obscure. */
  findInDdl(ddl: string): string | undefined {
    const { names, isObscure } = tablesInDdl(ddl);
    for (const rule of this.#values.keys()) {
      if (isObscure || names.has(rule) || names.has(rule.slice(rule.indexOf('.') + 1))) return rule;
    }
    return undefined;
  }

  /** The table by which a migration is one of these: by a name that it bears, or by what it does. */
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
