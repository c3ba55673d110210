/**
 * A quota: so many rows of a table may there be. A row that is there can always be changed and
 * deleted, a new one beyond the quota is rejected.
 */

import { defineHooks, judgeChanges, Type } from 'sync-coordinator';

export default defineHooks({
  name: 'quota',
  version: '1.0.0',
  apiVersion: 1,
  options: Type.Object({
    table: Type.String({ minLength: 1, description: 'The table whose rows are counted.' }),
    rowsMax: Type.Integer({ default: 100, minimum: 0, description: 'How many it may have.' }),
  }),
  setup({ table, rowsMax }, { read, metrics }) {
    const refused = metrics.counter('refused_total', 'Rows that were refused.');

    async function countRows(databaseId) {
      let count = 0;
      for await (const _ of read.rows(databaseId, { table })) count++;
      return count;
    }

    return {
      async onBeforeApplyChanges({ databaseId }, changeSets) {
        let room;
        const verdictByRow = new Map();
        return judgeChanges(changeSets, async (change) => {
          if (change.table !== table || change.type === 'delete') return true;
          const row = change.pk.map((value) => `${typeof value} ${value}`).join();
          if (!verdictByRow.has(row)) {
            const isThere = (await read.row(databaseId, change)) !== undefined;
            room ??= rowsMax - (await countRows(databaseId));
            const mayBe = isThere || room-- > 0;
            if (!mayBe) refused.inc();
            const refusal = { reason: `${table} is full: ${rowsMax} rows`, code: 'QUOTA' };
            verdictByRow.set(row, mayBe ? true : refusal);
          }
          return verdictByRow.get(row);
        });
      },
    };
  },
});
