/** A session as the service sees it: whose it is, and what may be done to it. It knows no socket. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { Appended } from '../engine/log-announcer.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { Reservation } from './byte-budget.ts';
import type { Frame } from './frames.ts';
import type { OpenDatabase } from './open-database.ts';

/** A message of changes that were written meanwhile, for one session or several. */
export interface Push {
  /** `undefined` if there is no room for it in memory: then they are read from the log, once there is. */
  bytes: Frame | undefined;
  changeSets: number;
  /** It is sent once more. What is returned is to be called when it has been taken. */
  share(): () => void;
}

/** Room in memory for a push of so many bytes, if it is there at once. */
export type TryReserve = (bytes: number, isShared: boolean) => Reservation | undefined;

/** What a client is told that has to begin anew. */
export const START_OVER =
  'what this client may see has changed, or too much of what it holds was rejected: it must start over from a snapshot';

export interface LiveSession {
  /** As its client was told in `handshake_ack`. */
  readonly connectionId: string;
  readonly connectedAt: number;
  readonly siteId: SiteIdText;
  /** As it is now; newer credentials may have changed it. */
  readonly identity: ClientIdentity;
  /** As it was when it joined: the hooks that were asked then are told of that one. */
  readonly joinedAs: ClientIdentity;
  readonly database: OpenDatabase;
  /**
   * The log has grown.
   * @param frame what of it is this session's, made when it is to be sent
   */
  push(appended: Appended, frame: (tryReserve: TryReserve) => Push | undefined): void;
  /** Its rights may have changed: has it looked again whether it may read. */
  reconsider(): Promise<void> | undefined;
  /** Its client has to take a snapshot; it is told why, and comes back. */
  startOver(message: string): void;
  /** The server gives it up: its client may come back at once. */
  disconnect(): void;
  /** It is over; nothing more is sent. */
  end(): void;
}
