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
import { SyncError } from '../errors.ts';
import type { AuthRequest, HookChain } from '../hooks/chain.ts';
import type { ClientIdentity, SyncOperation } from '../hooks/types.ts';
import { createLogger } from '../logger.ts';
import { isDatabaseId } from '../storage/database-id.ts';
import type { Storage } from '../storage/kv-store.ts';
import { PROTOCOL_VERSION, type WireChangeSet, type WireCheckpoint } from '../wire/schemas.ts';
import { type ApplyResult, decodeChangeSet, encodeChangeSet } from '../wire/types.ts';
import { type Database, type DatabaseLease, DatabasePool } from './database-pool.ts';
import { countChanges, drainPoint } from './drain.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Session } from './session.ts';
import { isCarryNeeded } from './session.ts';

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

/** One page of changes, as JSON pieces. */
export interface ChangesPage {
  changeSets: Uint8Array[];
  hasMore: boolean;
  /** The position to ask from next. */
  watermark: HlcText;
}

/** What became of a batch, and where to ask the device to go on. */
export interface Applied {
  result: ApplyResult;
  /** Ask the device for its changes after this; `undefined` if there is no reason to. */
  drainAfter: HlcText | undefined;
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
  readonly #running = new Set<Promise<unknown>>();
  readonly #startedAt = performance.now();
  #snapshotStreams = 0;
  #isStopping = false;
  /** Sockets, with or without a session; kept by the transport. */
  connections = 0;
  /** Bytes that wait on sockets; kept by the transport. */
  queuedBytes: () => number = () => 0;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { config, storage, world } = options;
    this.#pool = new DatabasePool({ storage, config, world, logger: this.logger });
    this.metrics = options.metrics ?? createMetrics();
    this.metrics.expose({
      connections: () => this.connections,
      sessions: () => this.#sessions.size,
      openStores: () => this.#pool.size,
      logLength: () => [...this.#pool.open()].reduce((sum, db) => sum + db.manager.logLength, 0),
      queuedBytes: () => this.queuedBytes(),
      snapshotStreams: () => this.#snapshotStreams,
    });
  }

  get config(): CoordinatorConfig {
    return this.#options.config;
  }

  get isStopping(): boolean {
    return this.#isStopping;
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
    const { hooks } = this.#options;
    metrics.authAttempts.inc({ transport });
    try {
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
    } catch (error) {
      metrics.authFailures.inc({ transport });
      throw error;
    }
  }

  /** @throws SyncError NOT_AUTHORIZED, or what a hook refused with */
  authorize(client: ClientIdentity, operation: SyncOperation, signal?: AbortSignal): Promise<void> {
    return this.#options.hooks.authorize(client, operation, signal);
  }

  /** Opens the client's database for as long as it is held. */
  acquire(databaseId: string): Promise<DatabaseLease> {
    return this.#pool.acquire(databaseId);
  }

  /** Changes since a position, in one page. */
  async handleSync(
    client: ClientIdentity,
    database: Database,
    sinceHLC: HlcText | undefined,
    limit?: number,
  ): Promise<ChangesPage> {
    await this.authorize(client, {
      type: 'get_changes',
      databaseId: database.id,
      sinceHLC: sinceHLC === undefined ? undefined : decodeHlc(sinceHLC),
    });
    const stopTimer = this.metrics.querySeconds.startTimer();
    const { manager } = database;
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

  /**
   * Stores a batch. Resolves once it is durable, and every other session has been told.
   *
   * The two halves let a transport keep messages in order without waiting for the disk:
   * `accepted` settles when the hooks have spoken and the batch has its place in the queue.
   */
  applyChanges(
    client: ClientIdentity,
    database: Database,
    changeSets: readonly WireChangeSet[],
  ): { accepted: Promise<void>; applied: Promise<Applied> } {
    const { manager } = database;
    const validated = this.#validate(client, database, changeSets);
    const queued = validated.then((valid) => ({ ...valid, stored: manager.apply(valid.approved) }));
    const applied = queued.then(async ({ approved, rejected, stored }) => {
      const result: ApplyResult = { ...(await stored), transactions: changeSets.length };
      if (rejected.length > 0) result.rejected = rejected;
      this.#countApplied(result);
      this.#track(this.#tellAfterApply(client, approved, result));
      const site = siteIdToText(client.siteId);
      const drainAfter = await drainPoint(manager, site, changeSets, result.applied > 0);
      return { result, drainAfter };
    });
    this.#track(applied);
    const accepted = queued.then(
      ({ stored }) => {
        stored.catch(() => undefined);
      },
      () => undefined,
    );
    return { accepted, applied: this.#timed(applied) };
  }

  /** Stores a batch and waits for it. */
  async handleApplyChanges(
    client: ClientIdentity,
    database: Database,
    changeSets: readonly WireChangeSet[],
  ): Promise<ApplyResult> {
    const { result } = await this.applyChanges(client, database, changeSets).applied;
    return result;
  }

  async #validate(client: ClientIdentity, { id }: Database, changeSets: readonly WireChangeSet[]) {
    if (this.#isStopping) throw new SyncError('SHUTTING_DOWN', 'the server is stopping');
    const { hooks } = this.#options;
    const changeCount = countChanges(changeSets);
    this.metrics.changesReceived.inc(changeCount);
    this.metrics.batchSize.observe(changeCount);
    await this.authorize(client, { type: 'apply_changes', databaseId: id, changeCount });
    if (!hooks.has.onBeforeApplyChanges) return { approved: changeSets, rejected: [] };
    // Only a hook that looks at changes pays for their being decoded.
    const { approved, rejected } = await hooks.beforeApply(client, changeSets.map(decodeChangeSet));
    return { approved: approved.map(encodeChangeSet), rejected };
  }

  /** Later than the answer to the client: what a hook does must not hold that up. */
  async #tellAfterApply(
    client: ClientIdentity,
    approved: readonly WireChangeSet[],
    result: ApplyResult,
  ): Promise<void> {
    const { hooks } = this.#options;
    if (!hooks.has.onAfterApplyChanges) return;
    await new Promise(setImmediate);
    hooks.afterApply(client, approved.map(decodeChangeSet), result);
  }

  #countApplied({ applied, skipped, conflicts, rejected = [] }: ApplyResult): void {
    this.metrics.changesApplied.inc(applied);
    this.metrics.changesSkipped.inc(skipped);
    this.metrics.changesConflicting.inc(conflicts);
    this.metrics.changesRejected.inc(rejected.length);
  }

  /** A snapshot, once there is a place for one more. Its chunks must be iterated or returned. */
  async handleSnapshot(
    client: ClientIdentity,
    database: Database,
    checkpoint: WireCheckpoint | undefined,
  ): Promise<Snapshot> {
    const type = checkpoint === undefined ? 'get_snapshot' : 'resume_snapshot';
    await this.authorize(client, { type, databaseId: database.id });
    const release = this.takeSnapshotStream();
    try {
      const { position, chunks } = await database.manager.openSnapshot(checkpoint);
      return { position, chunks: this.#countedChunks(chunks, release) };
    } catch (error) {
      release();
      throw error;
    }
  }

  async *#countedChunks(chunks: Snapshot['chunks'], release: () => void): Snapshot['chunks'] {
    try {
      yield* chunks;
      this.metrics.snapshotsCompleted.inc();
    } finally {
      release();
    }
  }

  /** @throws SyncError OVERLOADED when `limits.snapshotStreams` are being sent */
  takeSnapshotStream(): () => void {
    const { snapshotStreams } = this.config.limits;
    if (this.#snapshotStreams >= snapshotStreams) {
      throw new SyncError(
        'OVERLOADED',
        `limits.snapshotStreams (${snapshotStreams}) snapshots are being sent`,
        { retryAfterMs: OVERLOADED_RETRY_MS },
      );
    }
    this.#snapshotStreams++;
    this.metrics.snapshots.inc();
    let taken = true;
    return () => {
      if (taken) this.#snapshotStreams--;
      taken = false;
    };
  }

  /** Remembers that a whole snapshot has gone out, for draining. */
  async noteSnapshotSent(database: Database, site: SiteIdText, position: HlcText): Promise<void> {
    await database.manager.noteSnapshotSent(site, position);
  }

  /** @throws SyncError OVERLOADED when `limits.sessions` are there */
  addSession(session: Session): void {
    const { sessions } = this.config.limits;
    if (this.#sessions.size >= sessions) {
      throw new SyncError('OVERLOADED', `limits.sessions (${sessions}) clients are connected`, {
        retryAfterMs: OVERLOADED_RETRY_MS,
      });
    }
    this.#sessions.add(session);
    session.database.sessions.add(session);
  }

  removeSession(session: Session): void {
    session.end();
    session.database.sessions.delete(session);
    if (this.#sessions.delete(session)) this.#options.hooks.clientDisconnect(session.identity);
  }

  get hooks(): HookChain {
    return this.#options.hooks;
  }

  #timed<T>(work: Promise<T>): Promise<T> {
    const stopTimer = this.metrics.applySeconds.startTimer();
    return work.finally(stopTimer);
  }

  #track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work.then(
      () => this.#running.delete(tracked),
      () => this.#running.delete(tracked),
    );
    this.#running.add(tracked);
  }

  /** Refuses new work from now on, and waits for what is running, up to a deadline. */
  async settle(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([Promise.allSettled(this.#running), deadline]);
    clearTimeout(timer);
  }

  /** Settles, drains the notify hooks, and closes the stores. What is stored by then is safe. */
  async stop(deadlineMs: number): Promise<void> {
    await this.settle(deadlineMs);
    await this.#options.hooks.drain(deadlineMs);
    await this.#pool.close();
    await this.#options.storage.close();
  }
}
