/**
 * One database, to all who use it: merges the batches that arrive, in groups, and keeps what reads it.
 *
 * All writes run one after the other. While one group is being made durable, the next one gathers;
 * it is then one store transaction, with one fsync. An acknowledgement is the resolution of a
 * promise, which never resolves before its transaction is durable.
 */

import { type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import { SITE_ID_BYTES } from '../clock/site-id.ts';
import type { SyncError } from '../errors/sync-error.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import type { Logger } from '../logging/logger.ts';
import type { WireChange, WireChangeSet } from '../protocol/schemas.ts';
import type { KVStore, KVTransaction } from '../storage/kv-store.ts';
import { isStoreFailure, writeExclusively } from '../storage/store-failure.ts';
import { DatabaseState } from './database-state.ts';
import { HeldSites } from './held-sites.ts';
import { LogPins } from './log/log-pins.ts';
import { LogReaders } from './log/log-readers.ts';
import type { Appended } from './log-announcer.ts';
import { LogReads } from './log-reads.ts';
import { type Maintained, type MaintainOptions, Maintenance } from './maintenance/maintenance.ts';
import { type Batch, type BatchOutcome, weightOf } from './merge/batch.ts';
import { toCompensation } from './merge/compensation.ts';
import { refuseDrift } from './merge/drift.ts';
import type { Sender } from './merge/foreign-authors.ts';
import { GroupCommit } from './merge/group-commit.ts';
import { MergeMemory, UNLIMITED_MERGES } from './merge/merge-memory.ts';
import { type MergeContext, MergeTransaction } from './merge/merge-transaction.ts';
import { STEP_ROWS_MAX } from './merge/step-budget.ts';
import { WriteTransaction, type Written } from './merge/write-transaction.ts';
import { type Identity, loadIdentity, ReplacedError } from './records/head.ts';
import { type HeldLimits, UNLIMITED_HELD } from './records/held-size.ts';
import { Pace } from './records/pace.ts';
import { type RowLimits, UNLIMITED_ROW } from './records/row-size.ts';
import { SiteRecords } from './records/site-records.ts';
import { TableReads } from './table-reads.ts';
import { type CatalogLimits, UNLIMITED_CATALOG } from './tables/catalog-size.ts';

/** Clock, randomness and scheduling, so that a simulation can provide them. */
export interface World {
  /** Wall time in milliseconds. */
  now(): number;
  randomBytes(size: number): Uint8Array;
  randomUuid(): string;
  /** Lets other work run, during long work. */
  yield(): Promise<void>;
}

export interface SyncManagerOptions {
  store: KVStore;
  world: World;
  logger: Logger;
  allowResurrection: boolean;
  maxClockDriftMs: number;
  tombstoneTTL: number;
  /** Rows of a dropped table that one transaction reads at most; default `STEP_ROWS_MAX`. */
  stepRows?: number;
  logPinMaxAgeMs: number;
  /** The site id of a database that has none yet, of `SITE_ID_BYTES`. Default: a random one. */
  newSiteId?: Uint8Array | undefined;
  /** Default: none. */
  catalogLimits?: CatalogLimits;
  heldLimits?: HeldLimits;
  /** Default: none. */
  rowLimits?: RowLimits;
  /** Shared by all databases of the process. Default: no bound. */
  mergeMemory?: MergeMemory;
  /**
   * A write to the store has failed, and others may fail until it is opened again; or the store
   * holds another database by now (a `ReplacedError`), and every write will fail.
   */
  onStoreFailed?(error: SyncError): void;
}

/** Who sent a batch, and what hooks decided about it. */
export interface Verdict {
  /** Without one the batch is merged as it is, and no send progress of a site is recorded. */
  sender?: Sender;
  /**
   * Changes of the coordinator's own, each with the HLC of the change that it answers. The merge
   * gives it the next greater HLC of the coordinator's site.
   */
  compensations?: readonly WireChangeSet[];
  /** Changes that were refused: the device that made them gets what is stored instead. */
  refused?: readonly WireChangeSet[];
  /**
   * The newest position when the hooks decided: the batch is not stored if the log has grown since.
   */
  expected?: HlcText | undefined;
  /**
   * Called before the batch is merged, and right before the commit. If it throws, the batch is not
   * stored.
   */
  admit?: () => void;
  /** The same, called between the steps of merging a large batch. */
  goOn?: () => void;
}

export class SyncManager {
  readonly identity: Identity;
  /** The record of each site. */
  readonly sites: SiteRecords;
  /** Refused changes that sites still hold. */
  readonly held: HeldSites;
  readonly log: LogReads;
  readonly tables: TableReads;
  /** Readers of the log that hold for every process and beyond a restart. */
  readonly logPins: LogPins;
  /** Readers of the log in this process at the moment. */
  readonly readers: LogReaders;
  readonly #store: KVStore;
  readonly #options: SyncManagerOptions;
  readonly #commits: GroupCommit<Batch, BatchOutcome>;
  readonly #maintenance: Maintenance;
  readonly #mergeMemory: MergeMemory;
  readonly #stopWatching: () => void;
  readonly #state: DatabaseState;
  readonly #merging: Omit<MergeContext, 'takeRows'>;

  /** Opens the database in a store, and creates it if the store is empty. */
  static async open(options: SyncManagerOptions): Promise<SyncManager> {
    const { store, world } = options;
    const newSiteId = () => options.newSiteId ?? world.randomBytes(SITE_ID_BYTES);
    const identity = await loadIdentity(store, newSiteId);
    const state = await DatabaseState.load(store, identity.siteIdText, options.logger);
    const manager = new SyncManager(options, identity, state);
    // An earlier process may have ended before it had emptied them.
    manager.#emptyTables();
    return manager;
  }

  private constructor(options: SyncManagerOptions, identity: Identity, state: DatabaseState) {
    this.identity = identity;
    this.#store = options.store;
    this.#options = options;
    this.#state = state;
    this.#merging = toMergeContext(options, identity);
    this.#mergeMemory = options.mergeMemory ?? new MergeMemory(UNLIMITED_MERGES);
    this.readers = new LogReaders(() => options.world.now());
    this.#commits = new GroupCommit(
      (batches) => this.#mergeGroup(batches),
      weightOf,
      () => options.world.yield(),
    );
    this.sites = new SiteRecords(
      options.store,
      options.world,
      (work) => this.#commits.alone(work),
      identity.siteIdText,
    );
    this.logPins = new LogPins({
      store: options.store,
      alone: (work) => this.#commits.alone(work),
      coordinator: identity.siteIdText,
      now: () => options.world.now(),
      maxAgeMs: options.logPinMaxAgeMs,
    });
    this.held = new HeldSites({
      ...{ store: options.store, identity, logger: options.logger },
      limits: options.heldLimits ?? UNLIMITED_HELD,
      head: () => state.current.head,
      refresh: () => this.#refresh(),
      tidy: (step) => this.#tidy(step),
      newPace: () => this.#newPace(),
      newDemand: () => options.world.randomUuid(),
    });
    const { store, world, allowResurrection, maxClockDriftMs } = options;
    const now = () => world.now();
    const refresh = () => this.#refresh();
    this.log = new LogReads({ store, identity, state, refresh, now, maxClockDriftMs });
    this.tables = new TableReads({
      ...{ store, identity, state, held: this.held, allowResurrection, now },
      newSnapshotId: () => world.randomUuid(),
      newPace: () => this.#newPace(),
    });
    this.#maintenance = new Maintenance(
      {
        logPins: this.logPins,
        store: options.store,
        state: () => state.current,
        readers: this.readers,
        tidy: (step) => this.#tidy(step),
      },
      {
        logger: options.logger,
        tombstoneTTL: options.tombstoneTTL,
        ...this.#merging,
      },
    );
    const faults = new BoundedLog({ logger: options.logger, level: 'error', verb: 'failed' });
    this.#stopWatching = options.store.onCommit(() =>
      this.#refresh().then(
        () => true,
        (error: unknown) => {
          if (error instanceof ReplacedError) return true;
          faults.addError('reading what other processes wrote', undefined, error);
          return false;
        },
      ),
    );
  }

  /** The newest position; its wall time is 0 while the log is empty. */
  get position(): HlcText {
    return this.#state.current.head.position;
  }

  /** The same, after reading what other processes have written. */
  async newestPosition(): Promise<HlcText> {
    await this.#refresh();
    return this.position;
  }

  /**
   * How far the newest position is ahead of the wall clock, in milliseconds: 0 unless that jumped
   * back.
   */
  get positionAheadMs(): number {
    return Math.max(
      0,
      hlcWallTimeMs(this.#state.current.head.position) - this.#options.world.now(),
    );
  }

  /** The number of changes in the log, and about how many of them later changes have replaced. */
  get logChanges(): { logged: number; replaced: number } {
    const { changesLogged, changesReplaced } = this.#state.current.head;
    return { logged: changesLogged, replaced: changesReplaced };
  }

  /** Sites that are told of late changes, since they may hold refused ones. */
  get heldSites(): number {
    return this.#state.current.head.listedFloors ?? 0;
  }

  /** Transactions in the log. */
  get logLength(): number {
    return this.#state.current.head.logLength;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    return this.#state.onAppended(listener);
  }

  /**
   * The time by which clients' clocks are judged, in milliseconds since 1970: the latest that the
   * server's clock has shown. If the wall clock has jumped back, the newest position still has the
   * later time. Devices, whose clocks did not jump, must not be refused until it has caught up.
   */
  get nowMs(): number {
    const shown = hlcWallTimeMs(this.#state.current.head.position);
    return Math.floor(Math.max(this.#options.world.now(), shown));
  }

  /**
   * Merges a batch. Resolves when it is durable; when it rejects, nothing of it is stored.
   * @throws SyncError CLOCK_DRIFT, a StaleReadError, or what the store throws
   */
  async apply(
    changeSets: readonly WireChangeSet[],
    { sender, compensations = [], refused = [], expected, admit, goOn }: Verdict = {},
  ): Promise<BatchOutcome> {
    const { maxClockDriftMs } = this.#options;
    refuseDrift(changeSets.concat(compensations, refused), this.nowMs, maxClockDriftMs);
    const answers = compensations.map((changeSet) => toCompensation(changeSet, this.identity));
    return this.#commits.add(
      { sender, changeSets, answers, refused, expected, admit, goOn },
      admit,
    );
  }

  /**
   * Stores changes of the coordinator's own, as one transaction, dated after all that is stored of
   * their rows.
   * @param changes `UNDATED`
   * @throws SyncError MESSAGE_ERROR for a table that was dropped, or what the store throws
   */
  async write(changes: readonly WireChange[]): Promise<BatchOutcome> {
    return this.#commits.add({ changeSets: [], answers: [], refused: [], own: changes });
  }

  async #mergeGroup(batches: readonly Batch[]): Promise<BatchOutcome[]> {
    const before = this.#state.current.catalog;
    const merged = await this.#mergeMemory.run((takeRows) =>
      this.#write((transaction) => {
        // Not `{ ...merging, takeRows }`: see CONTRIBUTING.md on spreads.
        const context = Object.assign({}, this.#merging, { takeRows });
        return new MergeTransaction(transaction, this.#state.current, context).merge(batches);
      }),
    );
    const { records, head } = merged;
    this.#options.logger(
      'merged %d batches as %d transactions to %s',
      batches.length,
      records.length,
      head.position,
    );
    if (merged.catalog !== before) this.#emptyTables();
    return merged.outcomes;
  }

  #newPace(): Pace {
    return new Pace(() => this.#options.world.yield());
  }

  /** Starts emptying dropped tables, in steps between the groups of writers. */
  #emptyTables(): void {
    if (!this.#maintenance.hasTablesToEmpty) return;
    this.#maintenance.emptyTables().catch((error: unknown) => {
      // Maintenance, or the next opening, goes on with it.
      this.#options.logger('dropped tables could not be emptied: %O', error);
    });
  }

  /** Reads what other processes wrote. */
  async #refresh(): Promise<void> {
    try {
      await this.#state.refresh();
    } catch (error) {
      if (error instanceof ReplacedError) this.#options.onStoreFailed?.(error);
      throw error;
    }
  }

  /** Runs one store transaction. Its result becomes the state only when it is durable. */
  async #write<T extends Written>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    try {
      const written = await writeExclusively(this.#store, work);
      this.#state.committed(written);
      return written;
    } catch (error) {
      if (isStoreFailure(error)) this.#options.onStoreFailed?.(error);
      throw error;
    }
  }

  /**
   * Forgets old deletions, empties dropped tables and compacts the log, in steps between the groups
   * of writers.
   */
  maintain(options?: MaintainOptions): Promise<Maintained> {
    return this.#maintenance.run(options);
  }

  #tidy<T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T> {
    const { world } = this.#options;
    const pace = this.#newPace();
    const context = { site: this.identity.siteIdText, now: () => world.now(), pace };
    return this.#commits.alone(async () => {
      const { result } = await this.#write(async (store) => {
        const transaction = new WriteTransaction(store, this.#state.current, context);
        await transaction.begin();
        const result = await step(transaction);
        return { ...(await transaction.finish()), result, isTidying: true };
      });
      return result;
    });
  }

  /**
   * Waits for the batches that have been accepted, and refuses later ones. The store stays open.
   */
  async close(): Promise<void> {
    this.#stopWatching();
    await this.#commits.close();
  }
}

function toMergeContext(
  { world, allowResurrection, ...given }: SyncManagerOptions,
  identity: Identity,
): Omit<MergeContext, 'takeRows'> {
  return {
    identity,
    allowResurrection,
    stepRows: given.stepRows ?? STEP_ROWS_MAX,
    heldLimits: given.heldLimits ?? UNLIMITED_HELD,
    catalogLimits: given.catalogLimits ?? UNLIMITED_CATALOG,
    rowLimits: given.rowLimits ?? UNLIMITED_ROW,
    pace: new Pace(() => world.yield()),
    newDemand: () => world.randomUuid(),
    now: () => world.now(),
    yield: () => world.yield(),
  };
}
