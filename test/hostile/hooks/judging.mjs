/** Hides a table from everybody, and judges all changes one by one. */

import { defineHooks, hideTables, judgeChanges } from 'sync-coordinator';

const hidden = hideTables(['secrets']);

export default defineHooks({
  name: 'judging',
  hooks: {
    onBeforeSendChanges: hidden.onBeforeSendChanges,
    async onBeforeApplyChanges(client, changeSets, call) {
      const verdict = await hidden.onBeforeApplyChanges(client, changeSets, call);
      if (verdict.rejected.length > 0) return verdict;
      // Looks at all that goes to the table `judged`, under whatever name.
      if (!changeSets.some(({ changes }) => changes[0]?.table === 'judged')) return verdict;
      const migration = () => true;
      return judgeChanges(changeSets, () => true, { migration });
    },
  },
});
