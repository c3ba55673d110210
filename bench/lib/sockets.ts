/** WebSockets of the load: as lean as `ws` allows, the messages of the protocol told by a byte. */

import { once } from 'node:events';
import WebSocket from 'ws';

/** The first character of a message's type: all begin with `{"type":"`. */
const TYPE_AT = '{"type":"'.length;

export const TYPE = { applyResult: 0x61, changes: 0x63, error: 0x65, snapshot: 0x73 } as const;

export function typeOf(message: Buffer): number {
  return message[TYPE_AT] ?? 0;
}

/** @param compresses whether it offers to, and then compresses all that it sends, as browsers do */
export async function openSocket(url: string, compresses = false): Promise<WebSocket> {
  const socket = new WebSocket(url, {
    perMessageDeflate: compresses && { threshold: 0 },
    skipUTF8Validation: true,
    maxPayload: 0,
  });
  await once(socket, 'open');
  return socket;
}

export async function openSession(
  url: string,
  siteId: string,
  databaseId: string,
  compresses = false,
): Promise<WebSocket> {
  const socket = await openSocket(url, compresses);
  socket.send(JSON.stringify({ type: 'handshake', siteId, databaseId, protocolVersion: 1 }));
  const [data] = await once(socket, 'message');
  if (!String(data).startsWith('{"type":"handshake_ack"')) throw new Error(`no ack: ${data}`);
  return socket;
}
