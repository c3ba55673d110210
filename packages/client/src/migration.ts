/** DDL of the app's own. */

import type { Migration, MigrationType } from './protocol/messages.ts';

export interface MigrationInput {
  type: MigrationType;
  /** Default: `main`. */
  schema?: string;
  /** Of `rename_table` the new name, of `add_index` and `drop_index` that of the index. */
  table: string;
  /** Of `rename_table` the old name. */
  fromTable?: string;
  /** The statement, as devices with SQL carry it out. */
  ddl: string;
  /**
   * From 0; of two with one name and version the later one counts. Default: that of the same statement,
   * where it was made before, so that tables may be made each time that the app starts; else a new one.
   */
  schemaVersion?: number;
}

export function toMigrations(
  inputs: readonly MigrationInput[],
  known: readonly Migration[],
): Omit<Migration, 'hlc'>[] {
  return inputs.map((input) => {
    const { type, schema = 'main', table, fromTable, ddl } = input;
    if ((type === 'rename_table') !== (fromTable !== undefined)) {
      throw new TypeError('fromTable is for rename_table, which needs it');
    }
    const ofName = known.filter((each) => each.schema === schema && each.table === table);
    const same = ofName.find((each) => each.type === type && each.ddl === ddl);
    const newest = Math.max(0, ...ofName.map((each) => each.schemaVersion));
    const { schemaVersion = same?.schemaVersion ?? newest + 1 } = input;
    const migration = { type, schema, table, ddl, schemaVersion };
    return fromTable === undefined ? migration : { ...migration, fromTable };
  });
}
