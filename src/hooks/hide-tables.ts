/** A safe read filter by table, which is the most common one. */

import { judgeChanges, type Refusal } from './judge-changes.ts';
import { TableMap } from './table-list.ts';
import type { ClientIdentity, CoordinatorHooks } from './types.ts';

const REFUSAL: Refusal = {
  reason: 'this client may not change tables that it may not see',
  code: 'HIDDEN_TABLE',
};

/**
 * Hooks that hide tables from clients: rows and DDL of these are not sent, under any of their
 * names, and DDL that concerns them is rejected with the code `HIDDEN_TABLE`. Clients may write
 * rows, unless another hook forbids it.
 * @param tables as `table` or `schema.table`, ignoring case
 * @param isHiddenFrom whether they are hidden from a client. Default: from all
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
