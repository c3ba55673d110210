/** One database, to all who use it: what writes it, what reads it, and where it stands. */

import { type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../protocol/schemas.ts';
import { DatabaseState } from './database-state.ts';
import { DatabaseWrites, type Verdict } from './database-writes.ts';
import { HeldSites } from './held-sites.ts';
import { LogPins } from './log/log-pins.ts';
import { LogReaders } from './log/log-readers.ts';
import type { Appended } from './log-announcer.ts';
import { LogReads } from './log-reads.ts';
import { type Maintained, type MaintainOptions, Maintenance } from './maintenance/maintenance.ts';
import { type Identity, loadIdentity } from './records/head.ts';
import { Pace } from './records/pace.ts';
import { SiteRecords } from './records/site-records.ts';
import {
  catalogRoomOf,
  mergeContextOf,
  newSiteIdOf,
  type SyncManagerOptions,
} from './sync-manager-options.ts';
import { TableReads } from './table-reads.ts';

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
  readonly #options: SyncManagerOptions;
  readonly #state: DatabaseState;
  readonly #writes: DatabaseWrites;
  readonly #maintenance: Maintenance;
  readonly #unfollow: () => void;

  /** Opens the database in a store, and creates it if the store is empty. */
  static async open(options: SyncManagerOptions): Promise<SyncManager> {
    const { store, logger } = options;
    const identity = await loadIdentity(store, () => newSiteIdOf(options));
    const state = await DatabaseState.load(store, {
      ...{ site: identity.siteIdText, logger, room: catalogRoomOf(options) },
      onReplaced: (error) => options.onStoreFailed?.(error),
    });
    const manager = new SyncManager(options, identity, state);
    // An earlier process may have ended before it had emptied them.
    manager.#emptyTables();
    return manager;
  }

  private constructor(options: SyncManagerOptions, identity: Identity, state: DatabaseState) {
    const { store, world, logger, allowResurrection, maxClockDriftMs, tombstoneTTL } = options;
    const { siteIdText } = identity;
    const merging = mergeContextOf(options, identity);
    const { now, heldLimits: limits, newDemand } = merging;
    const newPace = () => new Pace(merging.yield);
    const writes = new DatabaseWrites(options, state, merging, () => this.#emptyTables());
    const { alone, tidy } = writes;
    this.#options = options;
    this.#state = state;
    this.#writes = writes;
    this.identity = identity;
    this.readers = new LogReaders(now);
    this.sites = new SiteRecords(store, world, alone, siteIdText);
    this.logPins = new LogPins({
      ...{ store, alone, now, coordinator: siteIdText },
      maxAgeMs: options.logPinMaxAgeMs,
    });
    this.held = new HeldSites({
      ...{ store, identity, logger, limits, tidy, newPace, newDemand },
      head: () => state.current.head,
      refresh: () => state.refresh(),
    });
    this.log = new LogReads({ store, identity, state, now, maxClockDriftMs });
    this.tables = new TableReads({
      ...{ store, identity, state, held: this.held, allowResurrection, now, newPace },
      newSnapshotId: () => world.randomUuid(),
      settle: async (site) => this.#maintenance.settle((await this.sites.state(site)).authored),
    });
    const { logPins, readers } = this;
    this.#maintenance = new Maintenance(
      { store, logPins, readers, tidy, state: () => state.current },
      { logger, tombstoneTTL, ...merging },
    );
    this.#unfollow = state.follow();
  }

  /** The newest position; its wall time is 0 while the log is empty. */
  get position(): HlcText {
    return this.#state.current.head.position;
  }

  /** The same, after reading what other processes have written. */
  async newestPosition(): Promise<HlcText> {
    await this.#state.refresh();
    return this.position;
  }

  /**
   * How far the newest position is ahead of the wall clock, in milliseconds: 0 unless that jumped
   * back.
   */
  get positionAheadMs(): number {
    return Math.max(0, hlcWallTimeMs(this.position) - this.#options.world.now());
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
    return Math.floor(Math.max(this.#options.world.now(), hlcWallTimeMs(this.position)));
  }

  /**
   * Merges a batch. Resolves when it is durable; when it rejects, nothing of it is stored.
   * @throws SyncError CLOCK_DRIFT, a StaleReadError, or what the store throws
   */
  apply(changeSets: readonly WireChangeSet[], verdict: Verdict = {}) {
    return this.#writes.apply(changeSets, verdict, this.nowMs);
  }

  /**
   * Stores changes of the coordinator's own, as one transaction, dated after all that is stored of
   * their rows.
   * @param changes `UNDATED`
   * @throws SyncError MESSAGE_ERROR for a table that was dropped, or what the store throws
   */
  write(changes: readonly WireChange[]) {
    return this.#writes.write(changes);
  }

  /** Starts emptying dropped tables, in steps between the groups of writers. */
  #emptyTables(): void {
    if (!this.#maintenance.hasTablesToEmpty) return;
    this.#maintenance.emptyTables().catch((error: unknown) => {
      // Maintenance, or the next opening, goes on with it.
      this.#options.logger('dropped tables could not be emptied: %O', error);
    });
  }

  /**
   * Forgets old deletions, empties dropped tables and compacts the log, in steps between the groups
   * of writers.
   */
  maintain(options?: MaintainOptions): Promise<Maintained> {
    return this.#maintenance.run(options);
  }

  /**
   * Waits for the batches that have been accepted, and refuses later ones. The store stays open.
   */
  async close(): Promise<void> {
    this.#unfollow();
    await this.#writes.close();
  }
}
