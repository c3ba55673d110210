/** Prints who changed what: a line for every batch that was stored. */

import type { CoordinatorHooks } from 'sync-coordinator';

export default {
  onAfterApplyChanges(client, changes, result) {
    const countByTable = new Map<string, number>();
    for (const { table } of changes.flatMap((changeSet) => changeSet.changes)) {
      countByTable.set(table, (countByTable.get(table) ?? 0) + 1);
    }
    const tables = [...countByTable].map(([table, count]) => `${table} (${count})`).join(', ');
    const who = client.userId ?? 'somebody';
    console.log(`${who} changed ${tables} in ${client.databaseId}: ${result.applied} applied`);
  },
} satisfies CoordinatorHooks;
