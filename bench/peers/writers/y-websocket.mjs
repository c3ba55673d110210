/** The client of y-websocket. */

import { WebsocketProvider } from 'y-websocket';
import { Doc } from 'yjs';

/** @returns what writes one entry of a map as one transaction */
export async function openWriter(url, WebSocket) {
  const { host, pathname } = new URL(url);
  const doc = new Doc();
  const provider = new WebsocketProvider(`ws://${host}`, pathname.slice(1), doc, {
    WebSocketPolyfill: WebSocket,
    disableBc: true,
  });
  await new Promise((resolve) => provider.once('sync', resolve));
  const tasks = doc.getMap('tasks');
  return (row, value) => {
    tasks.set(`${row}.column_0`, value);
  };
}
