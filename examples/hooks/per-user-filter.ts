/**
 * Everybody sees their own notes only, as the column `owner` says; everything else is for all. A row
 * is looked up, since a change holds one column. When a note gets another owner, let the new one
 * start over: `service.resync(({ userId }) => userId === newOwner)`.
 */

import { type Change, defineHooks, spellingIn, type TableName } from 'sync-coordinator';

export default defineHooks({
  name: 'per-user-filter',
  setup: (_options, { read }) => ({
    async onBeforeSendChanges({ userId, databaseId = '' }, changeSets) {
      const sameTable = (a: TableName, b: TableName) => read.sameTable(databaseId, a, b);
      const isTheirs = async (change: Change) => {
        const spelling = await spellingIn({ sameTable }, change, { table: 'notes' });
        // Devices take all spellings for the table; whose those rows are is looked up in none of them.
        if (spelling !== 'exact') return spelling === 'none';
        // A deletion tells nothing but its key, and whoever has the row must hear of it.
        if (change.type === 'delete') return true;
        const row = await read.row(databaseId, change);
        return userId !== undefined && row?.values.owner === userId;
      };
      return Promise.all(
        changeSets.map(async (changeSet) => {
          const theirs = await Promise.all(changeSet.changes.map(isTheirs));
          return { ...changeSet, changes: changeSet.changes.filter((_, i) => theirs[i]) };
        }),
      );
    },
  }),
});
