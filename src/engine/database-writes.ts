/**
 * All writes to one database by this process, one after the other: merges the batches that arrive,
 * in groups, and runs the steps of its upkeep between two groups.
 *
 * While one group is being made durable, the next one gathers; it is then one store transaction, with
 * one fsync. An acknowledgement is the resolution of a promise, which never resolves before its
 * transaction is durable.
 */

import type { HlcText } from '../clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../protocol/schemas.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import { isStoreFailure, writeExclusively } from '../storage/store-failure.ts';
import type { DatabaseState } from './database-state.ts';
import { type Batch, type BatchOutcome, weightOf } from './merge/batch.ts';
import { toCompensation } from './merge/compensation.ts';
import { refuseDrift } from './merge/drift.ts';
import type { Sender } from './merge/foreign-authors.ts';
import { GroupCommit } from './merge/group-commit.ts';
import type { MergeMemory } from './merge/merge-memory.ts';
import { type MergeContext, MergeTransaction } from './merge/merge-transaction.ts';
import { WriteTransaction, type Written } from './merge/write-transaction.ts';
import { Pace } from './records/pace.ts';
import { mergeMemoryOf, type SyncManagerOptions } from './sync-manager-options.ts';

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

export class DatabaseWrites {
  readonly #options: SyncManagerOptions;
  readonly #state: DatabaseState;
  readonly #merging: Omit<MergeContext, 'takeRows'>;
  readonly #catalogChanged: () => void;
  readonly #mergeMemory: MergeMemory;
  readonly #commits: GroupCommit<Batch, BatchOutcome>;

  /** @param catalogChanged called after each group that has changed tables */
  constructor(
    options: SyncManagerOptions,
    state: DatabaseState,
    merging: Omit<MergeContext, 'takeRows'>,
    catalogChanged: () => void,
  ) {
    this.#options = options;
    this.#state = state;
    this.#merging = merging;
    this.#catalogChanged = catalogChanged;
    this.#mergeMemory = mergeMemoryOf(options);
    this.#commits = new GroupCommit(
      (batches) => this.#mergeGroup(batches),
      weightOf,
      () => options.world.yield(),
    );
  }

  /**
   * See `SyncManager.apply`.
   * @param nowMs the latest time that the server's clock has shown
   */
  async apply(
    changeSets: readonly WireChangeSet[],
    { sender, compensations = [], refused = [], expected, admit, goOn }: Verdict,
    nowMs: number,
  ): Promise<BatchOutcome> {
    const { identity } = this.#merging;
    const { maxClockDriftMs } = this.#options;
    refuseDrift(changeSets.concat(compensations, refused), nowMs, maxClockDriftMs);
    const answers = compensations.map((changeSet) => toCompensation(changeSet, identity));
    return this.#commits.add(
      { sender, changeSets, answers, refused, expected, admit, goOn },
      admit,
    );
  }

  /** See `SyncManager.write`. */
  async write(changes: readonly WireChange[]): Promise<BatchOutcome> {
    return this.#commits.add({ changeSets: [], answers: [], refused: [], own: changes });
  }

  /** Runs `work` between two groups. Rejects without running it if the store failed meanwhile. */
  readonly alone = <T>(work: () => Promise<T>): Promise<T> => this.#commits.alone(work);

  /** Runs a step between two groups, in a transaction of its own, and makes its result the state. */
  readonly tidy = <T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T> => {
    const { identity, now } = this.#merging;
    const site = identity.siteIdText;
    const context = { site, now, pace: new Pace(this.#merging.yield) };
    return this.alone(async () => {
      const { result } = await this.#write(async (store) => {
        const transaction = new WriteTransaction(store, this.#state.current, context);
        await transaction.begin();
        const result = await step(transaction);
        return { ...(await transaction.finish()), result, isTidying: true };
      });
      return result;
    });
  };

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
    if (merged.catalog !== before) this.#catalogChanged();
    return merged.outcomes;
  }

  /** Runs one store transaction. Its result becomes the state only when it is durable. */
  async #write<T extends Written>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    try {
      const written = await writeExclusively(this.#options.store, work);
      this.#state.committed(written);
      return written;
    } catch (error) {
      this.#state.holdRoom();
      if (isStoreFailure(error)) this.#options.onStoreFailed?.(error);
      throw error;
    }
  }

  /** Waits for the batches that have been accepted, and refuses later ones. */
  close(): Promise<void> {
    return this.#commits.close();
  }
}
