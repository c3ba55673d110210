/**
 * Who changed what: a line for every batch that was stored. For a file that is rotated there is
 * `sync-coordinator/hooks/audit-log`; this is for a collector that reads what the server prints.
 */

import { defineHooks, siteIdToText } from 'sync-coordinator';

export default defineHooks({
  name: 'audit',
  hooks: {
    onAfterApplyChanges(client, changeSets, result) {
      const countByTable = new Map<string, number>();
      for (const { table } of changeSets.flatMap(({ changes }) => changes)) {
        countByTable.set(table, (countByTable.get(table) ?? 0) + 1);
      }
      const { userId, siteId, databaseId } = client;
      const tables = Object.fromEntries(countByTable);
      const entry = { userId, site: siteIdToText(siteId), databaseId, tables };
      console.log(JSON.stringify({ ...entry, applied: result.applied }));
    },
  },
});
