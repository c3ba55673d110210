/** A read filter by table: the safe way to write the one that is most often wanted. */

import type { ChangeSet, RejectedChange } from '../wire/types.ts';
import { tableList } from './table-list.ts';
import type { ClientIdentity, CoordinatorHooks } from './types.ts';

const CODE = 'HIDDEN_TABLE';

/**
 * Hooks that keep tables from clients: their rows and DDL are not sent, under whatever name they go, and
 * DDL that concerns them is rejected with the code `HIDDEN_TABLE`. Rows may be written, unless
 * another hook has a say in that.
 * @param tables as `table` or `schema.table`, in whatever case
 * @param isHiddenFrom whom they are hidden from; everybody, without it
 */
export function hideTables(
  tables: readonly string[],
  isHiddenFrom: (client: ClientIdentity) => boolean = () => true,
): Required<Pick<CoordinatorHooks, 'onBeforeSendChanges' | 'onBeforeApplyChanges'>> {
  const hidden = tableList(tables);
  return {
    onBeforeSendChanges(client, changeSets) {
      if (!isHiddenFrom(client)) return changeSets;
      return changeSets.map((changeSet) => ({
        ...changeSet,
        changes: changeSet.changes.filter((change) => hidden.get(change) === undefined),
        schemaMigrations: changeSet.schemaMigrations.filter(
          (migration) => hidden.findInMigration(migration) === undefined,
        ),
      }));
    },
    onBeforeApplyChanges(client, changeSets) {
      const hasDdl = changeSets.some(({ schemaMigrations }) => schemaMigrations.length > 0);
      if (!hasDdl || !isHiddenFrom(client)) return { approved: changeSets, rejected: [] };
      const rejected: RejectedChange[] = [];
      const approved = changeSets.map((changeSet): ChangeSet => {
        const schemaMigrations = changeSet.schemaMigrations.filter((migration) => {
          if (hidden.findInMigration(migration) === undefined) return true;
          const reason = 'this client may not change tables that it may not see';
          rejected.push({ table: migration.table, reason, code: CODE });
          return false;
        });
        const isWhole = schemaMigrations.length === changeSet.schemaMigrations.length;
        return isWhole ? changeSet : { ...changeSet, schemaMigrations };
      });
      return { approved, rejected };
    },
  };
}
