/** DDL of the app's own, and what the server's answer means for it. */

import type { ApplyResult, ChangeSet, Migration, MigrationType } from './protocol/messages.ts';
import { fromKeyOf, slotOf } from './replica/catalog.ts';
import type { Replica } from './replica/replica.ts';

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

/**
 * @param result of a batch that held nothing else
 * @returns of DDL what is to be carried out; `undefined` where only a snapshot tells what became of it
 */
export function takenOf(
  { schemaMigrations: [migration] = [] }: ChangeSet,
  { applied, standing }: ApplyResult,
  replica: Replica,
): Migration[] | undefined {
  if (migration === undefined) return [];
  if (applied > 0) return [migration];
  const { type, ddl, hlc } = migration;
  const moves = /^(drop|rename)_table/.test(type);
  if (!standing) {
    // An older server doesn't say whether it has only been said again, as at each start of an app.
    const isAgain = replica.generation().migrations.get(slotOf(migration))?.ddl === ddl;
    return isAgain && !moves ? [] : undefined;
  }
  // It was stored before, with its answer lost: what others have written since has come meanwhile.
  if (standing.includes(hlc)) return moves ? undefined : [migration];
  // Of a dropped table it moves what is held for that, though nobody else is told.
  return migration.fromTable && replica.catalog.isHidden(fromKeyOf(migration)) ? undefined : [];
}
