/**
 * An order that is paid stays as it is. With `hooks.onReject: 'revert'` in the configuration a
 * device that changed it meanwhile takes its change back:
 *
 *     hooks: { modules: ['./hooks/business-rule.ts'], onReject: 'revert' },
 */

import { defineHooks, judgeChanges, spellingIn } from 'sync-coordinator';

const orders = { table: 'orders' };
const status = { table: 'orders', column: 'status' };

export default defineHooks({
  name: 'paid-orders',
  // Else one device could pay an order while another one's change is being judged.
  serial: true,
  hooks: {
    onBeforeApplyChanges: (_client, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change) => {
          const spelling = await spellingIn(read, change, orders);
          if (spelling === 'none') return true;
          // Devices take all spellings for one; here each would be another table, another column.
          if (spelling === 'other' || (await spellingIn(read, change, status)) === 'other') {
            return { reason: 'it is called orders, and its column status', code: 'SPELLING' };
          }
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
