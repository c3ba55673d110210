/**
 * A session as the service sees it: its client, and what the service may do to it. It knows no
 * socket.
 */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import type { ClientSoftware } from '../../protocol/schemas.ts';
import type { OpenDatabase } from '../access/open-database.ts';
import type { Announcement } from './announcement.ts';

/** The message for a client that has to start over. */
export const START_OVER =
  'what this client may see has changed, or too much of what it holds was rejected: it must start over from a snapshot';

export interface LiveSession {
  /** The id that the client got in `handshake_ack`. */
  readonly connectionId: string;
  readonly connectedAt: number;
  readonly siteId: SiteIdText;
  /** What the client says it is. It may say anything: for people only. */
  readonly software: ClientSoftware | undefined;
  /** The present identity. Newer credentials may have changed it. */
  readonly identity: ClientIdentity;
  /** The identity at the handshake, which `onClientDisconnect` is told as well. */
  readonly joinedAs: ClientIdentity;
  readonly database: OpenDatabase;
  /**
   * The log has grown.
   * @returns how many change sets were pushed at once
   */
  push(announcement: Announcement): number;
  /** Its rights may have changed: has the hooks asked again whether it may read. */
  reconsider(): Promise<void> | undefined;
  /** Tells its client to take a snapshot, and ends it. The client comes back. */
  startOver(message: string): void;
  /** Ends it; its client may come back at once. @param reason for the client */
  disconnect(reason?: string): void;
  /** The session is over, and sends nothing more. */
  end(): void;
}
