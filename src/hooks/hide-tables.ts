/** A read filter by table: the safe way to write the one that is most often wanted. */

import { judgeChanges, type Refusal } from './judge-changes.ts';
import { TableMap } from './table-list.ts';
import type { ClientIdentity, CoordinatorHooks } from './types.ts';

const REFUSAL: Refusal = {
  reason: 'this client may not change tables that it may not see',
  code: 'HIDDEN_TABLE',
};

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
  const hidden = TableMap.of(tables);
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
      return judgeChanges(changeSets, () => true, {
        migration: (migration) =>
          hidden.findInMigration(migration) === undefined ? true : REFUSAL,
      });
    },
  };
}
