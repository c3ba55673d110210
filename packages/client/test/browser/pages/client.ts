/** A page that has the client, for tests that drive it from outside. */

import { createSyncClient, type SyncClient, type SyncStatus } from '../../../src/index.ts';
import { indexedDbStore } from '../../../src/stores/indexeddb.ts';
import { clock } from './clock.ts';

interface Options {
  url: string;
  /** The first token and those after it: `token 1`, `token 2`, … */
  hasTokens?: boolean;
  connect?: boolean;
}

const parts = {
  clock,
  /** How often a token was asked for. */
  tokens: 0,
  /** What the status was, each time that it was told. */
  statuses: [] as SyncStatus[],
  /** What a test has seen in this page. */
  seen: [] as unknown[],
  async start({ url, hasTokens = false, connect }: Options): Promise<void> {
    window.client = createSyncClient({
      url,
      connect,
      token: hasTokens ? async () => `token ${++parts.tokens}` : undefined,
      store: indexedDbStore('app'),
    });
    window.client.subscribeStatus(() => parts.statuses.push(window.client.status));
    await window.client.ready;
  },
  write(id: number, title: string) {
    return window.client.transact((tx) => tx.table('tasks').set([id], { title }));
  },
  titles(): unknown[] {
    return window.client
      .table('tasks')
      .all()
      .map(({ row }) => row.title);
  },
  isSynced(): boolean {
    const { connection, pending } = window.client.status;
    return connection === 'live' && pending === 0;
  },
};

declare global {
  interface Window {
    parts: typeof parts;
    client: SyncClient;
  }
}

window.parts = parts;
