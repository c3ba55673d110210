/**
 * An order that is paid stays as it is. With `hooks.onReject: 'revert'` in the configuration a
 * device that changed it meanwhile takes its change back:
 *
 *     hooks: { modules: ['./hooks/business-rule.ts'], onReject: 'revert' },
 */

import { defineHooks, judgeChanges, sameName } from 'sync-coordinator';

export default defineHooks({
  name: 'paid-orders',
  // Else one device could pay an order while another one's change is being judged.
  serial: true,
  hooks: {
    onBeforeApplyChanges: (_client, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change) => {
          if (!sameName(change.table, 'orders')) return true;
          // Devices take both spellings for one table; here they would be two.
          if (change.table !== 'orders') return { reason: 'it is called orders', code: 'SPELLING' };
          const order = await read.row(change);
          return order?.values.status === 'paid'
            ? { reason: 'a paid order can not be changed', code: 'ORDER_PAID' }
            : true;
        },
        // Half of a change to an order would be none.
        { atomic: true, read },
      ),
  },
});
