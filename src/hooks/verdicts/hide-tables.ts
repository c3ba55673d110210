/** A safe read filter by table, which is the most common one. */

import type { ChangeSet, SchemaMigration } from '../../protocol/types.ts';
import { undecoded } from '../../wire/lazy-change-set.ts';
import { runByTurns, type Steps, Stretch } from '../../wire/steps.ts';
import { TableMap, workOnDdl } from '../names/table-list.ts';
import type { ClientIdentity, CoordinatorHooks } from '../types.ts';
import { judgeChanges, type Refusal } from './judge-changes.ts';

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
      return isHiddenFrom(client) ? runByTurns(withoutTables(changeSets, hidden)) : changeSets;
    },
    async onBeforeApplyChanges(client, changeSets) {
      const isAllowed = !isHiddenFrom(client) || !(await runByTurns(hidden.areInDdl(changeSets)));
      if (isAllowed) return { approved: changeSets, rejected: [] };
      return judgeChanges(changeSets, () => true, {
        migration: (migration) =>
          hidden.findInMigration(migration) === undefined ? true : REFUSAL,
      });
    },
  };
}

/** Change sets of which nothing is hidden are the same objects. */
function* withoutTables(
  changeSets: readonly ChangeSet[],
  hidden: TableMap<true>,
): Steps<ChangeSet[]> {
  const left: ChangeSet[] = [];
  const stretch = new Stretch();
  for (const changeSet of changeSets) {
    if (!(yield* hidden.findInSteps([changeSet]))) {
      left.push(changeSet);
      if (stretch.ends(undecoded(changeSet).changes.length)) yield;
      continue;
    }
    const schemaMigrations: SchemaMigration[] = [];
    for (const migration of changeSet.schemaMigrations) {
      if (hidden.findInMigration(migration) === undefined) schemaMigrations.push(migration);
      if (stretch.ends(workOnDdl(migration.ddl))) yield;
    }
    const changes = changeSet.changes.filter((change) => hidden.get(change) === undefined);
    left.push({ ...changeSet, changes, schemaMigrations });
    if (stretch.ends(changeSet.changes.length)) yield;
  }
  return left;
}
