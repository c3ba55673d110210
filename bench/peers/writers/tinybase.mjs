/** A tinybase client. */

import { createMergeableStore } from 'tinybase';
import { createWsSynchronizer } from 'tinybase/synchronizers/synchronizer-ws-client';

/** @returns what writes one cell of a new row as one transaction */
export async function openWriter(url, WebSocket) {
  const store = createMergeableStore();
  const synchronizer = await createWsSynchronizer(store, new WebSocket(url));
  await synchronizer.startSync();
  return (row, value) => {
    store.setCell('tasks', String(row), 'column_0', value);
  };
}
