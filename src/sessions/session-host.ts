/** What a session is given: its client, its socket, its database, and what its connection does for it. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { SyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import type { Reservation } from '../service/byte-budget.ts';
import type { TryReserve } from '../service/live-session.ts';
import type { DatabaseAccess, OpenDatabase } from '../service/open-database.ts';
import type { PageReads } from '../service/page-reads.ts';
import type { PushPages } from '../service/push-pages.ts';
import type { PushFilter, ReadFilter } from '../service/read-filter.ts';
import type { ReadRight } from '../service/rights.ts';
import type { SendQueue } from './send-queue.ts';

export interface SessionLimits {
  /** Bytes that may wait on the socket before the session counts as behind. */
  queuedBytesPerSocket: number;
  /** Bytes at which a page of an answer ends. */
  pageBytes: number;
}

/** What the connection does for its session. */
export interface SessionHost {
  /** What the client may see of an answer; `undefined` if no hook has a say in it. */
  readFilterOf(origin?: CallOrigin): ReadFilter | undefined;
  /** The same for pushes to this identity. */
  pushFilterOf(identity: ClientIdentity): PushFilter | undefined;
  /** Counts change sets that were pushed. */
  pushed(changeSets: number): void;
  /** Waits for room in memory for what is sent; `isShared` if it is sent to several sessions of the database. */
  reserve(bytes: number, isShared?: boolean): Promise<Reservation>;
  /** The same without waiting. */
  tryReserve: TryReserve;
  hasMemory(bytes: number): boolean;
  /** Reads pages of the log. */
  readonly reads: PageReads;
  /** The socket had no room for a push: from now on pushes are read from the log. */
  fellBehind(): void;
  failed(error: unknown): void;
  /** Hooks have refused the right to read with `answers`. Nothing is pushed from now on. */
  readDenied(error: SyncError, answers: HookAnswer[]): void;
}

export interface SessionOptions {
  connectionId: string;
  siteId: SiteIdText;
  identity: ClientIdentity;
  database: OpenDatabase & DatabaseAccess;
  sendQueue: SendQueue;
  /** Pages of pushes that the sessions of the database share. */
  pages: PushPages;
  /** The right to read changes. */
  right: ReadRight;
  limits: SessionLimits;
  host: SessionHost;
}
