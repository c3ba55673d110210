/** The second half of a handshake: makes a client whose credentials were accepted a session of its database. */

import type { WebSocket } from 'ws';
import { toQuoted } from '../errors/printable.ts';
import { CLIENT_NAME_LENGTH_MAX, PROTOCOL_VERSION } from '../protocol/constants.ts';
import type { ClientMessage, ClientSoftware } from '../protocol/schemas.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { refuseOwnSite } from '../service/access/open-database.ts';
import type { DatabaseLease } from '../service/databases/database-lease.ts';
import type { Connection } from './connection.ts';
import { ConnectionHost } from './connection-host.ts';
import { DEFAULT_DATABASE_ID } from './credentials.ts';
import type { Requests } from './requests.ts';
import { Session } from './session.ts';

export type Handshake = Extract<ClientMessage, { type: 'handshake' }>;

/** What a client has once it has joined. */
export interface Membership {
  session: Session;
  /** Of the session's database. */
  lease: DatabaseLease;
}

export interface JoinOptions {
  /** For `onClientConnect`. */
  socket: WebSocket;
  requests: Requests;
  /** Called last: throws if the socket has closed, or the credentials have been revoked, meanwhile. */
  admit(): void;
  /** Called in the same turn as the session is added to the others, before the client is told of it. */
  begin(membership: Membership): void;
}

/** @throws SyncError why the client can have no session; then nothing is held, and hooks were told that it has gone */
export async function join(
  connection: Connection,
  { siteId, client: software }: Handshake,
  { socket, requests, admit, begin }: JoinOptions,
): Promise<void> {
  const { service, connectionId, identity, reader, holder, signal, sendQueue } = connection;
  const { databaseId = DEFAULT_DATABASE_ID } = identity;
  // The right to read is asked for before the database is opened and before hooks are told of the client.
  const right = await service.admission.enter(reader, databaseId, signal);
  let lease: DatabaseLease | undefined;
  try {
    await service.hooks.clientConnect(identity, socket, signal);
    lease = await service.acquire(databaseId, holder);
    refuseOwnSite(siteId, lease);
    // The hook modules may have been replaced since they accepted the client.
    await reader.demandCurrent();
    admit();
    const session = new Session({
      connectionId,
      siteId,
      identity,
      software,
      database: lease,
      sendQueue,
      right,
      host: new ConnectionHost(connection, requests),
      pages: lease.sessions.pages,
      limits: service.config.limits,
    });
    session.identity = reader.who();
    service.sessions.add(session, lease);
    const said = describeSoftware(software);
    service.logger('%s: site %s joins database %s%s', connectionId, siteId, lease.id, said);
    begin({ session, lease });
    // It is told of that before it is pushed anything.
    connection.replies.send(toHandshakeAck(session, identity.expiresAt));
  } catch (error) {
    lease?.release();
    // Modules that were asked whether the client may stay are told that it has gone, whatever they answered.
    service.hooks.clientDisconnect(identity);
    throw error;
  }
}

export function leave({ service }: Connection, { session, lease }: Membership): void {
  service.sessions.remove(session);
  lease.release();
}

function toHandshakeAck(
  { connectionId, database: { id, manager } }: Session,
  expiresAt: number | undefined,
): ServerMessage {
  return {
    type: 'handshake_ack',
    serverSiteId: manager.identity.siteIdText,
    connectionId,
    databaseId: id,
    protocolVersion: PROTOCOL_VERSION,
    serverTimeMs: manager.nowMs,
    expiresAt,
  };
}

/** For the log: `, with "my app" 1.0`. */
function describeSoftware({ name = '', version = '' }: Partial<ClientSoftware> = {}): string {
  const said = [name, version].filter((text) => text !== '');
  if (said.length === 0) return '';
  return `, with ${said.map((text) => toQuoted(text, CLIENT_NAME_LENGTH_MAX)).join(' ')}`;
}
