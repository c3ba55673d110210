/** What the limits of sending are measured with: a `ws` server that does nothing by itself. */

import { once } from 'node:events';
import { type WebSocket, WebSocketServer } from 'ws';
import { portOf } from './port-of.ts';

/** @returns its address */
export async function listenBare(
  onConnection: (socket: WebSocket, server: WebSocketServer) => void,
): Promise<string> {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  server.on('connection', (socket) => onConnection(socket, server));
  await once(server, 'listening');
  return `ws://127.0.0.1:${portOf(server)}`;
}
