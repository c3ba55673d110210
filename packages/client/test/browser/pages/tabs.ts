/** A page whose client shares its store with other tabs. */

import { createSyncClient, type SyncClient } from '../../../src/index.ts';
import { indexedDbStore } from '../../../src/stores/indexeddb.ts';

const tab = {
  async start(url: string): Promise<void> {
    window.client = createSyncClient({ url, store: indexedDbStore('tasks') });
    await window.client.ready;
  },
  async write(key: number, title: string): Promise<string> {
    const write = window.client.transact((tx) => {
      tx.table('tasks').set([key], { title });
    });
    return write.settled;
  },
};

declare global {
  interface Window {
    tab: typeof tab;
    client: SyncClient;
  }
}

window.tab = tab;
