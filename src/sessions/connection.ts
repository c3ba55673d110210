import type { IncomingHttpHeaders } from 'node:http';
import type { SyncError } from '../errors/sync-error.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { Client } from '../service/access/clients.ts';
import type { Reader } from '../service/access/rights.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { Replies } from './replies.ts';
import type { SendQueue } from './send-queue.ts';
import type { Session } from './session.ts';

/**
 * A connection as its parts see it. They ask it for what they need when they need it, and keep nothing but
 * the connection: most sessions are idle, and closures for each of them took more memory than all else.
 */
export interface Connection extends Client {
  readonly service: CoordinatorService;
  readonly connectionId: string;
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
  readonly sendQueue: SendQueue;
  readonly replies: Replies;
  /** Its client, with the identity that it has by then. */
  readonly reader: Required<Reader>;
  /** Whose share of memory its messages and answers count in. */
  readonly holder: string;
  /** Aborted when the socket closes. */
  readonly signal: AbortSignal;
  /** `undefined` before the handshake is accepted. */
  readonly session: Session | undefined;
  /** Why the server has ended it, after the client was told. */
  readonly ended: SyncError | undefined;
  /** Its client is there: something has come from it. */
  heard(): void;
  /**
   * Carries out a message that has been decoded.
   * @returns settles when the next one may be taken
   */
  carryOut(message: ClientMessage): Promise<void> | undefined;
  /** The credentials of its session were rechecked or replaced. */
  renewed(identity: ClientIdentity): void;
  /** The rights of its client have to be asked for again. */
  reconsider(): Promise<void>;
  /** Refuses the client without reading anything else from it. */
  refuseUnread(reason: SyncError): void;
}
