/** Where what a hook is called for came from: of a client for all that it does, of a request for that one. */

import type { AuthContext, ClientIdentity } from './types.ts';

export interface CallOrigin {
  /**
   * What the log calls the request: over HTTP Fastify's `request.id`, of a WebSocket message its connection's
   * id and its number in that. Absent where no request is served, such as for a push.
   */
  readonly requestId?: string | undefined;
  /** Of the WebSocket, as its client was told in `handshake_ack`. */
  readonly connectionId?: string | undefined;
  readonly transport?: 'http' | 'websocket' | undefined;
  /** As in `AuthContext`. */
  readonly remoteAddress?: string | undefined;
  readonly databaseId?: string | undefined;
}

const originByClient = new WeakMap<ClientIdentity, CallOrigin>();

/** The identity of an HTTP request is of that one only; that of a WebSocket is of many. */
export function noteOrigin(
  client: ClientIdentity,
  { requestId, connectionId, transport, remoteAddress, databaseId }: Omit<AuthContext, 'signal'>,
): void {
  const own = transport === 'http' ? requestId : undefined;
  const origin = { requestId: own, connectionId, transport, remoteAddress, databaseId };
  originByClient.set(client, origin);
}

export function originOf(client: ClientIdentity): CallOrigin {
  return originByClient.get(client) ?? client;
}

/** @param number of the message, on its connection */
export function messageId(connectionId: string, number: number): string {
  return `${connectionId}:${number}`;
}
