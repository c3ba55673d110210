/**
 * What the coordinator does for clients and for its embedder: it joins admission, the apply
 * pipeline, the read path and the open databases. Both transports use it, so neither can do what
 * the other cannot.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { siteIdToText } from '../clock/site-id.ts';
import type { CoordinatorConfig } from '../config/schema.ts';
import type { Maintained } from '../engine/maintenance/maintenance.ts';
import type { World } from '../engine/sync-manager.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { HookChain } from '../hooks/chain/chain.ts';
import type { RowWrite, WriteResult } from '../hooks/coordinator-access.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import { createLogger } from '../logging/logger.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { exposeStore } from '../metrics/store-metrics.ts';
import { PROTOCOL_VERSION } from '../protocol/constants.ts';
import type { WireChangeSet, WireCheckpoint } from '../protocol/schemas.ts';
import type { ApplyResult } from '../protocol/types.ts';
import { isDatabaseId } from '../storage/database-id.ts';
import type { Storage } from '../storage/kv-store.ts';
import { Clients } from './access/clients.ts';
import type { IdentityPredicate } from './access/identity-predicates.ts';
import type { DatabaseAccess } from './access/open-database.ts';
import { type Reader, toGetChanges } from './access/rights.ts';
import { Admission } from './admission/admission.ts';
import { PendingHandshakes } from './admission/pending-handshakes.ts';
import { RefusalLog } from './admission/refusal-log.ts';
import { type Applicant, type Applying, ApplyPipeline } from './apply/apply-pipeline.ts';
import { BatchLine } from './apply/batch-line.ts';
import { toChanges } from './apply/row-writes.ts';
import { databaseFigures, positionAheadMs } from './databases/database-figures.ts';
import { type Database, type DatabaseLease, DatabasePool } from './databases/database-pool.ts';
import { LogPinKeeper } from './databases/log-pins.ts';
import { connectionsThatFit, openFilesMax } from './databases/open-files.ts';
import { type StoreStatus, StoreWatch } from './databases/store-watch.ts';
import {
  type ChangesQuery,
  Delivery,
  type ServedPage,
  type ServedSnapshot,
  type SnapshotReader,
} from './delivery/delivery.ts';
import type { LiveSession } from './delivery/live-session.ts';
import { MessageDeflater } from './delivery/message-deflater.ts';
import { MemoryBudgets } from './memory-budgets.ts';
import { Sessions } from './sessions.ts';

export interface ServiceOptions {
  config: CoordinatorConfig;
  storage: Storage;
  hooks: HookChain;
  world: World;
  /** For `/status`. */
  version: string;
  metrics?: Metrics;
  refusals?: RefusalLog;
}

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

export class CoordinatorService {
  readonly metrics: Metrics;
  readonly logger = createLogger('sync-coordinator:service');
  /** Failures while messages were served. */
  readonly faults = new BoundedLog({ logger: this.logger, level: 'error', verb: 'failed' });
  readonly #options: ServiceOptions;
  readonly #pool: DatabasePool;
  /** Log pins of the hook modules that read logs. */
  readonly logPins: LogPinKeeper;
  /** The sessions of all databases. */
  readonly sessions: Sessions;
  readonly #pipeline: ApplyPipeline;
  /** The read path. */
  readonly delivery: Delivery;
  /** Decides which clients may come, and which may stay. */
  readonly admission: Admission;
  /** Sockets without a handshake. */
  readonly pendingHandshakes: PendingHandshakes;
  /** `limits.connections`, or fewer if this process may not open so many files. */
  readonly connectionsMax: number;
  /** Sessions, and HTTP requests that are being served. */
  readonly clients: Clients;
  /** Budgets for messages and answers under way. */
  readonly memory: MemoryBudgets;
  readonly deflater = new MessageDeflater();
  readonly #store: StoreWatch;
  readonly #startedAt = performance.now();
  /** Sockets, with or without a session. The transport sets it. */
  connections = 0;
  /** Bytes queued on sockets. The transport sets it. */
  queuedBytes: () => number = () => 0;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { config, storage, world, hooks } = options;
    const { logger, faults } = this;
    this.metrics = options.metrics ?? createMetrics();
    const { metrics } = this;
    this.logPins = new LogPinKeeper({
      acquire: (id) => this.#pool.acquire(id),
      isShared: storage.isShared ?? false,
      maxAgeMs: config.sync.logPinMaxAgeMs,
      logger,
    });
    const { logPins } = this;
    const pushed = (changeSets: number) => metrics.changesPushed.inc(changeSets);
    const onLimit = metrics.limitMet;
    this.#pool = new DatabasePool({
      ...{ storage, config, world, logger, faults, logPins, pushed, onLimit },
    });
    this.clients = new Clients(() => world.now());
    this.sessions = new Sessions(config.limits);
    const { clients, sessions } = this;
    const { refusals = new RefusalLog() } = options;
    this.admission = new Admission({
      ...{ hooks, clients, sessions, refusals, logger },
      failedLoginsPerMinute: config.limits.failedLoginsPerMinute,
      reauthorizeMs: config.hooks.reauthorizeMs,
      now: () => world.now(),
    });
    const { rights } = this.admission;
    this.memory = new MemoryBudgets(config.limits, onLimit);
    this.delivery = new Delivery({ hooks, config, rights, sessions, onLimit });
    this.#pipeline = new ApplyPipeline({
      hooks,
      onReject: config.hooks.onReject,
      foreignAuthors: config.sync.foreignAuthors,
      hookMemory: (holder) => this.memory.hookMemory(holder),
      onFull: (databaseId, full, sender) => {
        for (const { site, limit } of full) {
          metrics.limitMet(limit);
          if (site !== sender) this.delivery.endFull(databaseId, site);
        }
      },
      refuseExpired: (client) => clients.refuseExpired(client),
    });
    this.connectionsMax = connectionsThatFit({
      wanted: config.limits.connections,
      databaseFiles: this.#pool.filesMax,
      filesMax: openFilesMax(),
      logger,
    });
    const { unauthenticatedSockets } = config.limits;
    // Half of the connections at most, so that sockets without a handshake leave room for sessions.
    const pendingMax = Math.min(unauthenticatedSockets, Math.ceil(this.connectionsMax / 2));
    this.pendingHandshakes = new PendingHandshakes({
      ...config.limits,
      unauthenticatedSockets: pendingMax,
    });
    const { health } = storage;
    this.#store = new StoreWatch({ health, now: () => world.now(), logger });
    this.#exposeMetrics();
  }

  #exposeMetrics(): void {
    const { world, storage } = this.#options;
    this.metrics.expose(
      { ...this.#gauges(), ...databaseFigures(this.#pool, world) },
      {
        changes: this.#pipeline.counts,
        applySeconds: this.#pipeline.seconds,
        batchSizes: this.#pipeline.batchSizes,
        querySeconds: this.delivery.querySeconds,
        maintenance: this.#pool.maintenanceCounts,
        snapshots: this.delivery.snapshotCounts,
        logins: this.admission.loginCounts,
        sharedSites: () => this.sessions.sharedSites.count,
      },
    );
    const { health } = storage;
    if (health === undefined) return;
    exposeStore(this.metrics.registry, {
      isUp: async () => (await this.#store.ask()) === undefined,
      figures: () => health.figures(),
    });
  }

  #gauges() {
    return {
      connections: () => this.connections,
      socketsUnauthenticated: () => this.pendingHandshakes.size,
      sessions: () => this.sessions.size,
      openStores: () => this.#pool.size,
      queuedBytes: () => this.queuedBytes() + this.memory.httpBytes,
      snapshotStreams: () => this.delivery.snapshotStreams,
    };
  }

  get config(): CoordinatorConfig {
    return this.#options.config;
  }

  /** Yields to other work during a long computation. */
  readonly turn = (): Promise<void> => this.#options.world.yield();

  get isStopping(): boolean {
    return this.#pipeline.isStopping;
  }

  /**
   * Why no clients should be sent to this server at the moment: it is stopping, its storage is
   * unavailable, or there is no room for another database. Asks the storage, and answers within a
   * second.
   */
  async unreadiness(): Promise<SyncError | undefined> {
    if (this.isStopping) return new SyncError('SHUTTING_DOWN', 'the server is stopping');
    return (await this.#store.ask()) ?? this.#pool.refusal;
  }

  /** Its `store` is as of the last `unreadiness()`. */
  status(): Status {
    const store = this.#store.status;
    return {
      version: this.#options.version,
      protocolVersion: PROTOCOL_VERSION,
      uptime: Math.round((performance.now() - this.#startedAt) / 1000),
      openStores: this.#pool.size,
      connectedClients: this.sessions.size,
      connections: this.connections,
      positionAheadMs: positionAheadMs(this.#pool),
      ...(store !== undefined && { store }),
    };
  }

  /** @throws SyncError INVALID_DATABASE_ID */
  checkDatabaseId(databaseId: string): void {
    if (isDatabaseId(databaseId)) return;
    throw new SyncError(
      'INVALID_DATABASE_ID',
      'a database id is 1 to 128 characters of A-Z a-z 0-9 _ : . -',
    );
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
    return this.delivery.startOver(predicate);
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
    return this.#pool.acquire(databaseId, holder);
  }

  /**
   * Runs maintenance on a database now, even if there is little to gain: expires tombstones,
   * shortens the log. It also runs by itself every `storage.maintenanceMs`.
   */
  maintain(databaseId: string): Promise<Maintained> {
    return this.#pool.maintain(databaseId);
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

  /**
   * Changes since a position, in one page. The caller asks its `holds` before it sends a part of
   * it.
   */
  handleSync(
    client: ClientIdentity,
    access: DatabaseAccess,
    query: ChangesQuery = {},
  ): Promise<ServedPage> {
    return this.delivery.changes(client, access, query);
  }

  /** A snapshot, as soon as another one may be served. The caller closes it. */
  handleSnapshot(
    client: ClientIdentity,
    access: DatabaseAccess,
    checkpoint?: WireCheckpoint,
    reader: SnapshotReader = {},
  ): Promise<ServedSnapshot> {
    return this.delivery.snapshot(client, access, checkpoint, reader);
  }

  /** A line for the batches of one client: see `Applicant`. */
  newLine(sender: Reader): BatchLine {
    return new BatchLine(sender, (identity) => this.admission.isCurrent(identity));
  }

  /**
   * Stores a batch, and publishes it to the other sessions.
   * @param applicant the sender's identity at the time of storing, and whether it still waits for
   *   the answer
   */
  applyChanges(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    applicant: Applicant = {},
  ): Applying {
    const { line } = applicant;
    const reader = { who: () => line?.who() ?? client };
    const { right = this.admission.rights.of(reader, toGetChanges(database.id)) } = applicant;
    return this.#pipeline.apply(client, database, changeSets, { ...applicant, right });
  }

  /** Stores a batch, and waits until it is durable. */
  async handleApplyChanges(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    applicant?: Applicant,
  ): Promise<ApplyResult> {
    const { applied } = this.applyChanges(client, database, changeSets, applicant);
    const { result, isFull } = await applied;
    if (isFull) this.delivery.endFull(database.id, siteIdToText(client.siteId));
    return result;
  }

  /**
   * Stores rows of the server's own without asking hooks, and publishes them to all sessions. See
   * `CoordinatorAccess.write`.
   */
  async write(databaseId: string, rows: readonly RowWrite[]): Promise<WriteResult> {
    this.checkDatabaseId(databaseId);
    this.#pipeline.refuseWhileJudging(databaseId);
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

  /** @throws SyncError OVERLOADED when `limits.sessions`, or the share of its user, is taken */
  addSession(session: LiveSession, database: Database): void {
    const inTheWay = this.sessions.inTheWayOf(database);
    if (inTheWay !== undefined) {
      this.metrics.limitMet('limits.sessions');
      inTheWay.disconnect('OVERLOADED');
      this.removeSession(inTheWay);
    }
    this.sessions.add(session, database);
  }

  removeSession(session: LiveSession): void {
    const wasThere = this.sessions.remove(session);
    if (wasThere) this.#options.hooks.clientDisconnect(session.joinedAs);
  }

  get hooks(): HookChain {
    return this.#options.hooks;
  }

  /** Refuses new batches from now on, and waits for those under way, for at most `deadlineMs`. */
  settle(deadlineMs: number): Promise<void> {
    return this.#pipeline.settle(deadlineMs);
  }

  /**
   * Waits for the batches under way and for the notify hooks, then closes the stores. What was
   * stored is safe.
   */
  async stop(deadlineMs: number): Promise<void> {
    await this.settle(deadlineMs);
    await this.#options.hooks.drain(deadlineMs);
    this.logPins.stop();
    await this.#pool.close();
    await this.#options.storage.close();
    this.faults.flush();
    this.sessions.sharedSites.flush();
  }
}
