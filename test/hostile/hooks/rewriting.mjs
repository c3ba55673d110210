/** Names each client by its token, and rewrites every text that is sent: a view of its own for each. */

import { setImmediate } from 'node:timers/promises';

function rewritten(change) {
  if (change.type !== 'column' || typeof change.value !== 'string') return change;
  return { ...change, value: `Y${change.value.slice(1)}` };
}

export default {
  onAuthenticate: ({ siteId = new Uint8Array(16), token }) => ({ siteId, userId: token }),
  async onBeforeSendChanges(_client, changeSets) {
    const sent = changeSets.map((set) => ({ ...set, changes: set.changes.map(rewritten) }));
    // As a hook that asks somebody else: meanwhile other answers are filtered, and this one is held.
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    return sent;
  },
};
