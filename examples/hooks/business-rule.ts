/**
 * An order that is paid stays as it is. With `hooks.onReject: 'revert'` in the configuration a
 * device that changed it meanwhile takes its change back:
 *
 *     hooks: { modules: ['./hooks/business-rule.ts'], onReject: 'revert' },
 */

import { defineHooks, judgeChanges } from 'sync-coordinator';

export default defineHooks({
  name: 'paid-orders',
  setup: (_options, { read }) => ({
    onBeforeApplyChanges: (client, changeSets) =>
      judgeChanges(
        changeSets,
        async ({ table, pk }) => {
          if (table !== 'orders' || client.databaseId === undefined) return true;
          const order = await read.row(client.databaseId, { table, pk });
          return order?.values.status === 'paid'
            ? { reason: 'a paid order can not be changed', code: 'ORDER_PAID' }
            : true;
        },
        // Half of a change to an order would be none.
        { atomic: true },
      ),
  }),
});
