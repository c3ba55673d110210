/** The second half of a handshake: makes a client whose credentials were accepted a session of its database. */

import type { WebSocket } from 'ws';
import type { SiteIdText } from '../clock/site-id.ts';
import { toQuoted } from '../errors/printable.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { CLIENT_NAME_LENGTH_MAX, PROTOCOL_VERSION } from '../protocol/constants.ts';
import type { ClientSoftware } from '../protocol/schemas.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { refuseOwnSite } from '../service/access/open-database.ts';
import type { Reader } from '../service/access/rights.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { DatabaseLease } from '../service/databases/database-lease.ts';
import { DEFAULT_DATABASE_ID } from './credentials.ts';
import type { SendQueue } from './send-queue.ts';
import { Session } from './session.ts';
import type { SessionHost } from './session-host.ts';

export interface JoinOptions {
  service: CoordinatorService;
  connectionId: string;
  siteId: SiteIdText;
  /** The identity that the hooks accepted. */
  identity: ClientIdentity;
  software: ClientSoftware | undefined;
  /** The same client, with the identity it has by then. */
  reader: Required<Reader>;
  /** Whose share of open databases it counts for. */
  holder: string;
  /** For `onClientConnect`. */
  socket: WebSocket;
  sendQueue: SendQueue;
  host: SessionHost;
  /** Aborted when the socket closes. */
  signal: AbortSignal;
  /** Called last: throws if the socket has closed, or the credentials have been revoked, meanwhile. */
  admit(): void;
  /**
   * The client has a session. Called in the same turn as that is added to the others, so that the
   * client hears of it before it is pushed anything.
   * @param lease to be released when the session has ended
   */
  begin(session: Session, lease: DatabaseLease): void;
}

/** @throws SyncError why the client can have no session; then nothing is held, and hooks were told that it has gone */
export async function join(options: JoinOptions): Promise<void> {
  const { service, connectionId, siteId, identity, software, reader, holder, signal } = options;
  const { databaseId = DEFAULT_DATABASE_ID } = identity;
  // The right to read is asked for before the database is opened and before hooks are told of the client.
  const right = await service.admission.enter(reader, databaseId, signal);
  let lease: DatabaseLease | undefined;
  try {
    await service.hooks.clientConnect(identity, options.socket, signal);
    lease = await service.acquire(databaseId, holder);
    refuseOwnSite(siteId, lease);
    // The hook modules may have been replaced since they accepted the client.
    await reader.demandCurrent();
    options.admit();
    const { sendQueue, host } = options;
    const session = new Session({
      connectionId,
      siteId,
      identity,
      software,
      database: lease,
      sendQueue,
      right,
      host,
      pages: lease.sessions.pages,
      limits: service.config.limits,
    });
    session.identity = reader.who();
    service.addSession(session, lease);
    const said = describeSoftware(software);
    service.logger('%s: site %s joins database %s%s', connectionId, siteId, lease.id, said);
    options.begin(session, lease);
  } catch (error) {
    lease?.release();
    // Modules that were asked whether the client may stay are told that it has gone, whatever they answered.
    service.hooks.clientDisconnect(identity);
    throw error;
  }
}

export function toHandshakeAck(
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
