/**
 * Notes are never deleted: a deletion becomes a `deletedAt`, in milliseconds since 1970. The device that
 * deleted the note has it back, with that column, like all others.
 */

import { defineHooks, judgeChanges, spellingOf } from 'sync-coordinator';

export default defineHooks({
  name: 'soft-delete',
  hooks: {
    onBeforeApplyChanges: (_client, changeSets) =>
      judgeChanges(changeSets, (change) => {
        if (change.type !== 'delete' || spellingOf(change, { table: 'notes' }) === 'none') {
          return true;
        }
        const { schema, table, pk, hlc } = change;
        const value = Number(hlc.wallTime);
        return { type: 'column', schema, table, pk, hlc, column: 'deletedAt', value };
      }),
  },
});
