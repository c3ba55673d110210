/**
 * One database: merges what arrives, in groups, and reads its log.
 *
 * All writing goes through one lane. While a group is being made durable the next one
 * gathers; everything that waits then goes into one store transaction, with one fsync.
 * An acknowledgement is the resolution of a promise that nothing resolves earlier.
 */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import { hlcSite, SITE_ID_BYTES, type SiteIdText } from '../clock/site-id.ts';
import { SyncError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { KVStore, KVTransaction } from '../storage/kv-store.ts';
import type { WireChangeSet, WireCheckpoint } from '../wire/schemas.ts';
import { toAuthored } from './authored.ts';
import { Catalog } from './catalog.ts';
import { refuseDrift } from './drift.ts';
import { GroupCommit } from './group-commit.ts';
import { type Head, type Identity, loadIdentity, readHead, readHorizon } from './head.ts';
import { type LogPage, type LogReadOptions, type LogState, readLog, timelineFor } from './log.ts';
import { carryPosition, deliverable, type LogRecord } from './log-record.ts';
import {
  type Maintained,
  type MaintainOptions,
  Maintenance,
  type TidyStep,
} from './maintenance.ts';
import {
  type Batch,
  type BatchOutcome,
  type CatalogState,
  MergeTransaction,
  type Written,
} from './merge-transaction.ts';
import { wallTimeToHlc } from './position-clock.ts';
import { SiteRecords } from './site-records.ts';
import { openSnapshot, type Snapshot } from './snapshot.ts';
import { readRow, readRows, type WireRow } from './stored-rows.ts';

/** What the engine takes from outside, so that a simulation can be the world. */
export interface World {
  /** Wall time in milliseconds. */
  now(): number;
  randomBytes(size: number): Uint8Array;
  randomUuid(): string;
  /** Lets others have their turn during long work. */
  yield(): Promise<void>;
}

export interface SyncManagerOptions {
  store: KVStore;
  world: World;
  logger: Logger;
  allowResurrection: boolean;
  maxClockDriftMs: number;
  tombstoneTTL: number;
  /** The store has refused to write, and may go on refusing until it is opened again. */
  onStoreFailed?(error: SyncError): void;
}

/** What hooks made of a batch, beside letting it through. */
export interface Verdict {
  /**
   * Changes of the coordinator's own, each with the HLC of the change that it answers: it gets
   * one just greater, of the coordinator's site.
   */
  authored?: readonly WireChangeSet[];
  /** Changes that were refused, and are to be taken back at the device that made them. */
  refused?: readonly WireChangeSet[];
}

/** The log has grown. */
export interface Appended {
  /** The newest position before. */
  after: HlcText;
  /** The newest position now. */
  end: HlcText;
  /** What was written, if it was written here: a reader at `after` needs nothing else. */
  records: readonly LogRecord[] | undefined;
}

export class SyncManager {
  readonly identity: Identity;
  /** What is remembered of each site. */
  readonly sites: SiteRecords;
  readonly #store: KVStore;
  readonly #options: SyncManagerOptions;
  readonly #listeners = new Set<(appended: Appended) => void>();
  readonly #commits: GroupCommit<Batch, BatchOutcome>;
  readonly #maintenance: Maintenance;
  readonly #stopWatching: () => void;
  #head: Head;
  #state: CatalogState;

  /** Opens the database, which becomes one if the store is empty. */
  static async open(options: SyncManagerOptions): Promise<SyncManager> {
    const { store, world } = options;
    const identity = await loadIdentity(store, () => world.randomBytes(SITE_ID_BYTES));
    const head = await readHead(store);
    const catalog = await Catalog.load(store);
    return new SyncManager(options, identity, head, catalog);
  }

  private constructor(
    options: SyncManagerOptions,
    identity: Identity,
    head: Head,
    catalog: Catalog,
  ) {
    this.identity = identity;
    this.#store = options.store;
    this.#options = options;
    this.#head = head;
    this.#state = { catalog, version: head.catalogVersion };
    this.#commits = new GroupCommit(
      (batches) => this.#mergeGroup(batches),
      ({ changeSets }) => changeSets.reduce((sum, set) => sum + set.changes.length + 1, 1),
      () => options.world.yield(),
    );
    this.sites = new SiteRecords(options.store, options.world, (work) => this.#commits.alone(work));
    this.#maintenance = new Maintenance(
      {
        store: options.store,
        head: () => this.#head,
        catalog: () => this.#state,
        tidy: (step) => this.#tidy(step),
      },
      {
        logger: options.logger,
        tombstoneTTL: options.tombstoneTTL,
        now: () => options.world.now(),
        yield: () => options.world.yield(),
      },
    );
    this.#stopWatching = options.store.onCommit(() =>
      this.#refresh().then(
        () => true,
        (error: unknown) => {
          options.logger.error('what others wrote could not be read: %O', error);
          return false;
        },
      ),
    );
  }

  /** The newest position; of wall time 0 while nothing has arrived. */
  get position(): HlcText {
    return this.#head.position;
  }

  /** How far the newest position is ahead of the wall, in milliseconds: 0 unless the wall jumped back. */
  get positionAheadMs(): number {
    return Math.max(0, hlcWallTimeMs(this.#head.position) - this.#options.world.now());
  }

  /** Changes in the log, and about how many of these later ones have replaced. */
  get logChanges(): { logged: number; replaced: number } {
    const { changesLogged = 0, changesReplaced = 0 } = this.#head;
    return { logged: changesLogged, replaced: changesReplaced };
  }

  /** Transactions in the log. */
  get logLength(): number {
    return this.#head.logLength;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Merges a batch. Resolves when it is durable; when it rejects, nothing of it is stored.
   * @throws SyncError CLOCK_DRIFT, or what the store throws
   */
  async apply(
    changeSets: readonly WireChangeSet[],
    { authored = [], refused = [] }: Verdict = {},
  ): Promise<BatchOutcome> {
    const { world, maxClockDriftMs } = this.#options;
    // After the wall has jumped back the positions still tell that it was there: devices, which have
    // not jumped, are not to be refused until it has caught up.
    const nowMs = Math.max(world.now(), hlcWallTimeMs(this.#head.position));
    refuseDrift([...changeSets, ...authored, ...refused], nowMs, maxClockDriftMs);
    const answers = authored.map((changeSet) => toAuthored(changeSet, this.identity));
    return this.#commits.add({ changeSets: [...changeSets, ...answers], refused });
  }

  async #mergeGroup(batches: readonly Batch[]): Promise<BatchOutcome[]> {
    const { world, allowResurrection, logger } = this.#options;
    const context = { identity: this.identity, allowResurrection, now: () => world.now() };
    const merged = await this.#write((transaction) =>
      new MergeTransaction(transaction, this.#state, context).merge(batches),
    );
    const { records, head } = merged;
    logger(
      'merged %d batches as %d transactions to %s',
      batches.length,
      records.length,
      head.position,
    );
    return merged.outcomes;
  }

  /** One store transaction. What it leaves takes its place here only when it is durable. */
  async #write<T extends Written>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    try {
      const written = await this.#store.exclusive(work);
      const { before, head, catalog, records } = written;
      const known = this.#head.position;
      this.#head = head;
      this.#state = { catalog, version: head.catalogVersion };
      // Somebody else has written meanwhile, and nobody here has heard of it yet.
      if (known !== before) this.#announce(known, undefined);
      else if (records.length > 0) this.#announce(before, records);
      return written;
    } catch (error) {
      if (error instanceof SyncError) this.#options.onStoreFailed?.(error);
      throw error;
    }
  }

  #announce(after: HlcText, records: readonly LogRecord[] | undefined): void {
    const appended = { after, end: this.#head.position, records };
    for (const listener of this.#listeners) {
      try {
        listener(appended);
      } catch (error) {
        // What is durable must not look as if it had failed, because somebody failed to hear of it.
        this.#options.logger.error('a listener failed: %O', error);
      }
    }
  }

  /** Somebody else may have written. */
  async #refresh(): Promise<void> {
    const view = await this.#store.view();
    try {
      const head = await readHead(view);
      if (compareHlc(head.position, this.position) <= 0) return;
      const catalog = await Catalog.load(view);
      // A write of our own, or another look, may have been faster.
      const before = this.position;
      if (compareHlc(head.position, before) <= 0) return;
      this.#head = head;
      this.#state = { catalog, version: head.catalogVersion };
      this.#announce(before, undefined);
    } finally {
      await view.close();
    }
  }

  /**
   * The cursor for a client that says it has everything up to `sinceHLC`.
   * @throws SyncError SNAPSHOT_REQUIRED
   */
  async cursorFor(sinceHLC: HlcText | undefined): Promise<HlcText> {
    const { siteId, siteIdText } = this.identity;
    if (sinceHLC === undefined) return wallTimeToHlc(0, new Uint8Array(SITE_ID_BYTES));
    const { world, maxClockDriftMs } = this.#options;
    // Another clock's HLC only tells a time, and that only roughly: rather too early.
    const cursor =
      hlcSite(sinceHLC) === siteIdText
        ? sinceHLC
        : wallTimeToHlc(Math.min(hlcWallTimeMs(sinceHLC), world.now()) - maxClockDriftMs, siteId);
    if (compareHlc(cursor, await readHorizon(this.#store)) < 0) {
      throw new SyncError(
        'SNAPSHOT_REQUIRED',
        'deletions after this position have been forgotten (sync.tombstoneTTL): a snapshot is needed',
      );
    }
    // A reader ahead of the log (it knew a server that is gone) must not miss what comes now.
    return compareHlc(cursor, this.position) > 0 ? this.position : cursor;
  }

  readLog(options: LogReadOptions): Promise<LogPage> {
    return readLog(this.#store, this.#logState(), options);
  }

  /** A freshly written record as one reader should get it; `undefined` for nothing. */
  deliverable(record: LogRecord, reader: SiteIdText): Uint8Array | undefined {
    return deliverable(
      record,
      reader,
      timelineFor(record, () => record.position, this.#logState()),
    );
  }

  #logState(): LogState {
    const { position, staleUpTo } = this.#head;
    return { end: position, timeline: this.#state.catalog.timeline, staleUpTo };
  }

  /** A change set without changes, as JSON, that carries `position` to a reader. */
  carryPosition(position: HlcText): Uint8Array {
    return carryPosition(this.identity.siteIdText, position);
  }

  async openSnapshot(checkpoint?: WireCheckpoint): Promise<Snapshot> {
    const { world } = this.#options;
    const context = {
      identity: this.identity,
      newSnapshotId: () => world.randomUuid(),
      now: () => world.now(),
    };
    return openSnapshot(await this.#store.view(), context, checkpoint);
  }

  /** A row as it is merged, its primary key in its JSON form. */
  readRow(row: { schema: string; table: string; pk: readonly unknown[] }) {
    return readRow(this.#store, this.#state.catalog, row);
  }

  /** All rows of a table, in no order, as they were when the first one was asked for. */
  async *readRows(table: { schema: string; table: string }): AsyncGenerator<WireRow> {
    yield* readRows(await this.#store.view(), this.#state.catalog, table);
  }

  /** Forgets old deletions, clears away dropped tables, shortens the log, beside the writers. */
  maintain(options?: MaintainOptions): Promise<Maintained> {
    return this.#maintenance.run(options);
  }

  #tidy<T>(step: TidyStep<T>): Promise<T> {
    return this.#commits.alone(async () => {
      const { result } = await this.#write(async (transaction) => {
        const before = await readHead(transaction);
        const { catalog, version } = this.#state;
        const current =
          before.catalogVersion === version ? catalog : await Catalog.load(transaction);
        const tidied = await step(transaction, before, current);
        return { ...tidied, before: before.position, records: [] };
      });
      return result;
    });
  }

  /** Waits for what has been accepted; what comes later is refused. The store stays open. */
  async close(): Promise<void> {
    this.#stopWatching();
    await this.#commits.close();
  }
}
