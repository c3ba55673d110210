/**
 * What the coordinator does for clients and for its embedder. Both transports use it, so neither can do
 * what the other cannot.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { siteIdToText } from '../clock/site-id.ts';
import type { Maintained } from '../engine/maintenance/maintenance.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { RowWrite, WriteResult } from '../hooks/coordinator-access.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { PROTOCOL_VERSION } from '../protocol/constants.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { assertDatabaseId } from '../storage/database-id.ts';
import type { IdentityPredicate } from './access/identity-predicates.ts';
import type { DatabaseAccess } from './access/open-database.ts';
import type { Applied } from './apply/answer.ts';
import type { Applicant } from './apply/apply-pipeline.ts';
import { toChanges } from './apply/row-writes.ts';
import { positionAheadMs } from './databases/database-figures.ts';
import type { DatabaseLease } from './databases/database-lease.ts';
import type { StoreStatus } from './databases/store-watch.ts';
import { ServiceParts } from './service-parts.ts';

export interface Status {
  version: string;
  protocolVersion: number;
  /** In seconds. */
  uptime: number;
  openStores: number;
  connectedClients: number;
  connections: number;
  /**
   * How far the newest position is ahead of the clock, in milliseconds, in the open database where
   * it is furthest. 0 unless the clock was set back: positions never go back.
   */
  positionAheadMs: number;
  /** If the storage reports its health. */
  store?: StoreStatus;
}

export class CoordinatorService extends ServiceParts {
  readonly #startedAt = performance.now();

  get isStopping(): boolean {
    return this.batches.isStopping;
  }

  /**
   * Why no clients should be sent to this server at the moment: it is stopping, its storage is
   * unavailable, or there is no room for another database. Asks the storage, and answers within a
   * second.
   */
  async unreadiness(): Promise<SyncError | undefined> {
    if (this.isStopping) return new SyncError('SHUTTING_DOWN', 'the server is stopping');
    return (await this.store.ask()) ?? this.pool.refusal;
  }

  /** Its `store` is as of the last `unreadiness()`. */
  status(): Status {
    const store = this.store.status;
    return {
      version: this.options.version,
      protocolVersion: PROTOCOL_VERSION,
      uptime: Math.round((performance.now() - this.#startedAt) / 1000),
      openStores: this.pool.size,
      connectedClients: this.sessions.size,
      connections: this.connections,
      positionAheadMs: positionAheadMs(this.pool),
      ...(store !== undefined && { store }),
    };
  }

  /**
   * Ends the sessions and requests of all clients that `predicate` names, because their credentials
   * are no longer good. They are answered AUTH_EXPIRED, and sockets are closed with 4001. They may
   * come back with new credentials.
   * @returns the number of clients ended. If `predicate` throws, no client is ended and the error
   *   is passed on.
   */
  revoke(predicate: IdentityPredicate): number {
    return this.admission.revoke(predicate);
  }

  /**
   * Makes the clients that `predicate` names start over from a snapshot, because what they may see
   * (`onBeforeSendChanges`) has changed. Connected clients start over at once, others when they
   * come back to this server before it stops.
   * @returns the number of connected clients. If `predicate` throws, nothing is done and the error
   *   is passed on.
   */
  resync(predicate: IdentityPredicate): Promise<number> {
    return this.startingOver.demand(predicate);
  }

  /**
   * Asks `onAuthorize` again whether the clients that `predicate` names may read. From now on
   * nothing is sent to them before the hooks have answered. A client that may no longer read is
   * told NOT_AUTHORIZED and gets no pushes. A client that may do nothing is closed with 1008.
   * @returns the number of sessions, when the hooks have answered for all of them
   */
  reauthorize(predicate: IdentityPredicate = () => true): Promise<number> {
    return this.admission.reauthorize(predicate);
  }

  /**
   * The hook modules have been replaced: has the credentials and rights of all clients checked
   * again. A client with a token that is no longer good is answered AUTH_EXPIRED and closed.
   */
  hooksChanged(): Promise<void> {
    return this.admission.hooksChanged();
  }

  /**
   * Opens a database, and keeps it open until the lease is released.
   * @param holder whose share of open databases it counts for (see `budget.ts`); `undefined` for
   *   the server itself
   */
  acquire(databaseId: string, holder?: string): Promise<DatabaseLease> {
    return this.pool.acquire(databaseId, holder);
  }

  /**
   * Runs maintenance on a database now, even if there is little to gain: expires tombstones,
   * shortens the log. It also runs by itself every `storage.maintenanceMs`.
   */
  maintain(databaseId: string): Promise<Maintained> {
    return this.pool.maintain(databaseId);
  }

  /** Runs `work` with a database that is opened at its first use, and releases it. */
  async withAccess<T>(
    databaseId: string,
    work: (access: DatabaseAccess) => Promise<T>,
    holder?: string,
  ): Promise<T> {
    const access = this.access(databaseId, holder);
    try {
      return await work(access);
    } finally {
      access.release();
    }
  }

  /** A database that is opened at its first use. The caller must release it. */
  access(databaseId: string, holder?: string): DatabaseAccess & { release(): void } {
    let lease: Promise<DatabaseLease> | undefined;
    return {
      id: databaseId,
      open: () => {
        lease ??= this.acquire(databaseId, holder);
        return lease;
      },
      release: () => {
        lease?.then(
          (it) => it.release(),
          () => undefined,
        );
      },
    };
  }

  /** Stores a batch, and waits until it is durable. See `readyAnswer`. */
  async handleApplyChanges(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    applicant?: Applicant,
  ): Promise<Applied> {
    const applied = await this.batches.apply(client, database, changeSets, applicant).applied;
    if (applied.isFull) this.startingOver.endFull(database.id, siteIdToText(client.siteId));
    return applied;
  }

  /**
   * Stores rows of the server's own without asking hooks, and publishes them to all sessions. See
   * `CoordinatorAccess.write`.
   */
  async write(databaseId: string, rows: readonly RowWrite[]): Promise<WriteResult> {
    assertDatabaseId(databaseId);
    this.batches.refuseWhileJudging(databaseId);
    const changes = toChanges(rows, this.config.limits.changesPerBatch);
    const lease = await this.acquire(databaseId);
    try {
      const { applied, position } = await lease.manager.write(changes);
      if (applied > 0) this.logPins.noteBehind(databaseId);
      return { applied, position: decodeHlc(position) };
    } finally {
      lease.release();
    }
  }

  /** Refuses new batches from now on, and waits for those under way, for at most `deadlineMs`. */
  settle(deadlineMs: number): Promise<void> {
    return this.batches.settle(deadlineMs);
  }

  /**
   * Waits for the batches under way and for the notify hooks, then closes the stores. What was
   * stored is safe.
   */
  async stop(deadlineMs: number): Promise<void> {
    await this.settle(deadlineMs);
    await this.options.hooks.drain(deadlineMs);
    this.logPins.stop();
    await this.pool.close();
    await this.options.storage.close();
    this.faults.flush();
    this.sessions.sharedSites.flush();
  }
}
