/** A validator that does nothing, one batch a database at a time. Async, as one that reads is. */

import { defineHooks } from 'sync-coordinator';

export default defineHooks({
  name: 'serial',
  serial: true,
  hooks: {
    onBeforeApplyChanges: async (_client, changes) => ({ approved: changes, rejected: [] }),
  },
});
