/**
 * What a session is made with: its client, socket and database, and the services of its connection.
 */

import type { SiteIdText } from '../clock/site-id.ts';
import type { InTurn } from '../engine/records/in-turn.ts';
import type { SyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import type { ClientSoftware } from '../protocol/schemas.ts';
import type { DatabaseAccess, OpenDatabase } from '../service/access/open-database.ts';
import type { ReadRight } from '../service/access/rights.ts';
import type { Reservation } from '../service/budgets/byte-budget.ts';
import type { PageReads } from '../service/budgets/page-reads.ts';
import type { PushMemory } from '../service/delivery/announcement.ts';
import type { MessageDeflater } from '../service/delivery/message-deflater.ts';
import type { PushPages } from '../service/delivery/push-pages.ts';
import type { PushFilter, ReadFilter } from '../service/delivery/read-filter.ts';
import type { SendQueue } from './send-queue.ts';

export interface SessionLimits {
  /** Bytes queued on the socket, beyond which the session counts as behind. */
  queuedBytesPerSocket: number;
  /** Bytes at which a page of an answer ends. */
  pageBytes: number;
}

/** What the connection does for its session. */
export interface SessionHost extends PushMemory {
  /** The client's requests that are not answered yet. */
  readonly inFlight: { readonly size: number };
  /** The client's read filter for an answer; `undefined` if no hook filters. */
  readFilterOf(origin?: CallOrigin): ReadFilter | undefined;
  /** The filter for pushes to this identity. */
  pushFilterOf(identity: ClientIdentity): PushFilter | undefined;
  /** Counts change sets that were read from the log and pushed. */
  pushed(changeSets: number): void;
  /**
   * Reserves memory for what is sent, as soon as there is enough. `isShared`: several sessions of
   * the database send it.
   */
  reserve(bytes: number, isShared?: boolean): Promise<Reservation>;
  hasMemory(bytes: number): boolean;
  /** Reads pages of the log. */
  readonly reads: PageReads;
  /** Reads rows of a snapshot. */
  readonly rowReads: InTurn;
  /** Compresses answers for sockets that take them so. */
  readonly deflater: MessageDeflater;
  /** The queue of the socket is full: from now on pushes are read from the log. */
  fellBehind(): void;
  failed(error: unknown): void;
  /** The hooks have refused the right to read with `answers`. Nothing is pushed from now on. */
  readDenied(error: SyncError, answers: HookAnswer[]): void;
}

export interface SessionOptions {
  connectionId: string;
  siteId: SiteIdText;
  identity: ClientIdentity;
  /** What the client says it is. */
  software?: ClientSoftware | undefined;
  database: OpenDatabase & DatabaseAccess;
  sendQueue: SendQueue;
  /** Pages of pushes that the sessions of the database share. */
  pages: PushPages;
  /** The right to read changes. */
  right: ReadRight;
  limits: SessionLimits;
  host: SessionHost;
}
