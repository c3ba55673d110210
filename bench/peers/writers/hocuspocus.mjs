/** The client of hocuspocus. */

import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { Doc } from 'yjs';

const NAME = 'one';

/** @returns what writes one entry of a map as one transaction */
export async function openWriter(url, WebSocket) {
  const document = new Doc();
  const websocketProvider = new HocuspocusProviderWebsocket({ url, WebSocketPolyfill: WebSocket });
  await new Promise((onSynced) => {
    const provider = new HocuspocusProvider({
      ...{ websocketProvider, name: NAME, document, token: 'none' },
      onSynced,
    });
    provider.attach();
  });
  const tasks = document.getMap('tasks');
  return (row, value) => {
    tasks.set(`${row}.column_0`, value);
  };
}
