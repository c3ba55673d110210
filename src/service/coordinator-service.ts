/**
 * The heart of the coordinator: authenticate → authorise → validate → apply → announce.
 * Both transports call these methods, so neither can do what the other does not.
 */

import type { HlcText } from '../clock/hlc.ts';
import { decodeHlc } from '../clock/hlc.ts';
import { type SiteIdText, siteIdToText } from '../clock/site-id.ts';
import type { CoordinatorConfig } from '../config/schema.ts';
import type { Snapshot } from '../engine/snapshot.ts';
import type { World } from '../engine/sync-manager.ts';
import { SyncError, toSyncError } from '../errors.ts';
import type { AuthRequest, HookChain } from '../hooks/chain.ts';
import type { ClientIdentity, SyncOperation } from '../hooks/types.ts';
import { createLogger } from '../logger.ts';
import { isDatabaseId } from '../storage/database-id.ts';
import type { Storage } from '../storage/kv-store.ts';
import { PROTOCOL_VERSION, type WireChangeSet, type WireCheckpoint } from '../wire/schemas.ts';
import type { ApplyResult } from '../wire/types.ts';
import { type Applying, ApplyPipeline } from './apply-pipeline.ts';
import { type Database, type DatabaseLease, DatabasePool } from './database-pool.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { DatabaseAccess } from './open-database.ts';
import type { Session } from './session.ts';
import { isCarryNeeded } from './session.ts';
import { SnapshotStreams } from './snapshot-streams.ts';

const authLogger = createLogger('sync-coordinator:auth');

const OVERLOADED_RETRY_MS = 1000;

/** Bytes of JSON in one page of changes, whatever the number of its changes. */
const HTTP_PAGE_BYTES_MAX = 4 * 1024 * 1024;

export interface ServiceOptions {
  config: CoordinatorConfig;
  storage: Storage;
  hooks: HookChain;
  world: World;
  /** For `/status`. */
  version: string;
  metrics?: Metrics;
}

export interface ChangesQuery {
  /** What the client has; everything, if it has nothing. */
  sinceHLC?: HlcText | undefined;
  /** At most about so many changes. */
  limit?: number | undefined;
  signal?: AbortSignal;
}

/** One page of changes, as JSON pieces. */
export interface ChangesPage {
  changeSets: Uint8Array[];
  hasMore: boolean;
  /** The position to ask from next. */
  watermark: HlcText;
}

export interface Status {
  version: string;
  protocolVersion: number;
  /** Seconds. */
  uptime: number;
  openStores: number;
  connectedClients: number;
  connections: number;
}

export class CoordinatorService {
  readonly metrics: Metrics;
  readonly logger = createLogger('sync-coordinator:service');
  readonly #options: ServiceOptions;
  readonly #pool: DatabasePool;
  readonly #sessions = new Set<Session>();
  readonly #pipeline: ApplyPipeline;
  readonly #snapshots: SnapshotStreams;
  readonly #startedAt = performance.now();
  /** Sockets, with or without a session; kept by the transport. */
  connections = 0;
  /** Bytes that wait on sockets; kept by the transport. */
  queuedBytes: () => number = () => 0;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { config, storage, world, hooks } = options;
    this.#pool = new DatabasePool({ storage, config, world, logger: this.logger });
    this.metrics = options.metrics ?? createMetrics();
    this.#pipeline = new ApplyPipeline(hooks, this.metrics, config.hooks.onReject);
    this.#snapshots = new SnapshotStreams(config.limits.snapshotStreams, this.metrics);
    this.metrics.expose({
      connections: () => this.connections,
      sessions: () => this.#sessions.size,
      openStores: () => this.#pool.size,
      logLength: () => [...this.#pool.open()].reduce((sum, db) => sum + db.manager.logLength, 0),
      queuedBytes: () => this.queuedBytes(),
      snapshotStreams: () => this.#snapshots.size,
    });
  }

  get config(): CoordinatorConfig {
    return this.#options.config;
  }

  get isStopping(): boolean {
    return this.#pipeline.isStopping;
  }

  /** Live sessions, of all databases. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  status(): Status {
    return {
      version: this.#options.version,
      protocolVersion: PROTOCOL_VERSION,
      uptime: Math.round((performance.now() - this.#startedAt) / 1000),
      openStores: this.#pool.size,
      connectedClients: this.#sessions.size,
      connections: this.connections,
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
   * Says who it is. Without an `onAuthenticate` everybody may come: `auth.mode: none`.
   * @throws SyncError AUTH_FAILED, or what a hook refused with
   */
  async authenticate(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    const { metrics } = this;
    const { transport, databaseId, siteId } = request;
    const site = siteId === undefined ? 'unknown' : siteIdToText(siteId);
    metrics.authAttempts.inc({ transport });
    try {
      const identity = await this.#identify(request, signal);
      const who = identity.userId ?? 'nobody in particular';
      authLogger('%s: site %s may enter database %s, as %s', transport, site, databaseId, who);
      return identity;
    } catch (error) {
      metrics.authFailures.inc({ transport });
      const { code } = toSyncError(error);
      authLogger('%s: site %s may not enter database %s: %s', transport, site, databaseId, code);
      throw error;
    }
  }

  async #identify(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    const { databaseId, siteId } = request;
    const { hooks } = this.#options;
    if (!hooks.has.onAuthenticate) {
      if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is required');
      return Object.freeze({ siteId, databaseId });
    }
    const identity = await hooks.authenticate(request, signal);
    if (identity === undefined) throw new SyncError('AUTH_FAILED', 'authentication failed');
    // Delivery leaves out a site's own changes, so an identity must not be of another site.
    if (siteId !== undefined && siteIdToText(identity.siteId) !== siteIdToText(siteId)) {
      throw new SyncError('AUTH_FAILED', 'the credentials are for another site id');
    }
    // One object for the whole session, and nobody's to change: hooks may key a map by it.
    return Object.freeze({ ...identity, databaseId });
  }

  /** @throws SyncError NOT_AUTHORIZED, or what a hook refused with */
  authorize(client: ClientIdentity, operation: SyncOperation, signal?: AbortSignal): Promise<void> {
    return this.#options.hooks.authorize(client, operation, signal);
  }

  authorizeRead(
    client: ClientIdentity,
    databaseId: string,
    sinceHLC: HlcText | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    const since = sinceHLC === undefined ? undefined : decodeHlc(sinceHLC);
    return this.authorize(client, { type: 'get_changes', databaseId, sinceHLC: since }, signal);
  }

  /** Opens a client's database, for as long as it is held. */
  acquire(databaseId: string): Promise<DatabaseLease> {
    return this.#pool.acquire(databaseId);
  }

  /** Runs `work` with a database that is opened when `work` first needs it. */
  async withAccess<T>(
    databaseId: string,
    work: (access: DatabaseAccess) => Promise<T>,
  ): Promise<T> {
    const access = this.access(databaseId);
    try {
      return await work(access);
    } finally {
      access.release();
    }
  }

  /** A database that is opened when it is first needed; to be released in any case. */
  access(databaseId: string): DatabaseAccess & { release(): void } {
    let lease: Promise<DatabaseLease> | undefined;
    return {
      id: databaseId,
      open: () => {
        lease ??= this.acquire(databaseId);
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

  /** Changes since a position, in one page. */
  async handleSync(
    client: ClientIdentity,
    database: DatabaseAccess,
    { sinceHLC, limit, signal }: ChangesQuery = {},
  ): Promise<ChangesPage> {
    await this.authorizeRead(client, database.id, sinceHLC, signal);
    const { manager } = await database.open();
    const stopTimer = this.metrics.querySeconds.startTimer();
    const after = await manager.cursorFor(sinceHLC);
    const page = await manager.readLog({
      after,
      reader: siteIdToText(client.siteId),
      bytesMax: Math.min(HTTP_PAGE_BYTES_MAX, this.config.limits.pageBytes),
      changesMax: Math.min(limit ?? Number.POSITIVE_INFINITY, this.config.sync.batchSize),
    });
    stopTimer();
    const { changeSets, lastSent, end, hasMore } = page;
    if (isCarryNeeded(after, lastSent, end)) changeSets.push(manager.carryPosition(end));
    return { changeSets, hasMore, watermark: end };
  }

  /** Stores a batch, and tells every other session. */
  applyChanges(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
  ): Applying {
    return this.#pipeline.apply(client, database, changeSets);
  }

  /** Stores a batch and waits for it. */
  async handleApplyChanges(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
  ): Promise<ApplyResult> {
    const { result } = await this.applyChanges(client, database, changeSets).applied;
    return result;
  }

  /** A snapshot, once there is a place for one more. Whoever gets it must close it. */
  async handleSnapshot(
    client: ClientIdentity,
    database: DatabaseAccess,
    checkpoint?: WireCheckpoint,
    signal?: AbortSignal,
  ): Promise<Snapshot> {
    const type = checkpoint === undefined ? 'get_snapshot' : 'resume_snapshot';
    await this.authorize(client, { type, databaseId: database.id }, signal);
    return this.#snapshots.open(await database.open(), checkpoint);
  }

  /** Remembers that a whole snapshot has gone out, for draining. */
  async noteSnapshotSent(
    database: DatabaseAccess,
    site: SiteIdText,
    position: HlcText,
  ): Promise<void> {
    const { manager } = await database.open();
    await manager.noteSnapshotSent(site, position);
  }

  /** @throws SyncError OVERLOADED when `limits.sessions` are there */
  addSession(session: Session, database: Database): void {
    const { sessions } = this.config.limits;
    if (this.#sessions.size >= sessions) {
      throw new SyncError('OVERLOADED', `limits.sessions (${sessions}) clients are connected`, {
        retryAfterMs: OVERLOADED_RETRY_MS,
      });
    }
    this.#sessions.add(session);
    database.sessions.add(session);
  }

  removeSession(session: Session, database: Database): void {
    session.end();
    database.sessions.delete(session);
    if (this.#sessions.delete(session)) this.#options.hooks.clientDisconnect(session.identity);
  }

  get hooks(): HookChain {
    return this.#options.hooks;
  }

  /** Refuses new batches from now on, and waits for those under way, up to a deadline. */
  settle(deadlineMs: number): Promise<void> {
    return this.#pipeline.settle(deadlineMs);
  }

  /** Settles, drains the notify hooks, and closes the stores. What is stored by then is safe. */
  async stop(deadlineMs: number): Promise<void> {
    await this.settle(deadlineMs);
    await this.#options.hooks.drain(deadlineMs);
    await this.#pool.close();
    await this.#options.storage.close();
  }
}
