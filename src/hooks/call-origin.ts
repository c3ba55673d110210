/** The origins of calls: of a client for all that it does, or of a single request. */

import type { AuthContext, CallOrigin, ClientIdentity } from './types.ts';

const originByClient = new WeakMap<ClientIdentity, CallOrigin>();

/**
 * An identity from HTTP is of one request only, so its origin has the request id; one of a
 * WebSocket is of many.
 */
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

/** @param number the number of the message on its connection */
export function messageId(connectionId: string, number: number): string {
  return `${connectionId}:${number}`;
}
