/**
 * A quota: so many rows of a table may there be. A row that is there can always be changed and
 * deleted, a new one beyond the quota is rejected.
 */

import { defineHooks, judgeChanges, rowIdentity, spellingIn, Type } from 'sync-coordinator';

export default defineHooks({
  name: 'quota',
  version: '1.0.0',
  apiVersion: 1,
  // Two devices that are counted at once would both get the last place.
  serial: true,
  options: Type.Object({
    table: Type.String({ minLength: 1, description: 'The table whose rows are counted.' }),
    rowsMax: Type.Integer({ default: 100, minimum: 0, description: 'How many it may have.' }),
  }),
  setup({ table, rowsMax }, { metrics }) {
    const refused = metrics.counter('refused_total', 'Rows that were refused.');
    const refusal = { reason: `${table} is full: ${rowsMax} rows`, code: 'QUOTA' };

    async function countRows(read) {
      let count = 0;
      for await (const _ of read.rows({ table })) count++;
      return count;
    }

    return {
      onBeforeApplyChanges(_client, changeSets, { read }) {
        let judged;
        let room;
        let hasDeleted = false;
        let verdictByRow;
        async function judge(change, changeSet) {
          const spelling = await spellingIn(read, change, { table });
          if (spelling === 'none') return true;
          // Devices take all spellings for one table; here they would be several, and only one is counted.
          if (spelling === 'other') return { reason: `it is called ${table}`, code: 'SPELLING' };
          if (changeSet !== judged) {
            judged = changeSet;
            verdictByRow = new Map();
            // What a delete has done shows once its transaction has been approved.
            if (hasDeleted) room = undefined;
            hasDeleted = false;
          }
          if (change.type === 'delete') {
            hasDeleted = true;
            return true;
          }
          const row = rowIdentity(change);
          if (!verdictByRow.has(row)) {
            const isThere = (await read.row(change)) !== undefined;
            room ??= rowsMax - (await countRows(read));
            const mayBe = isThere || room-- > 0;
            if (!mayBe) refused.inc();
            verdictByRow.set(row, mayBe ? true : refusal);
          }
          return verdictByRow.get(row);
        }
        return judgeChanges(changeSets, judge, { read });
      },
    };
  },
});
