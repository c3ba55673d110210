/**
 * Merges a group of batches within one store transaction: reads what they touch, merges their change
 * sets, and puts rows, log records and catalog in one write.
 */

import type { WireChange } from '../../protocol/schemas.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { Pace } from '../records/pace.ts';
import { type Batch, type BatchOutcome, emptyOutcome, StaleReadError } from './batch.ts';
import { GroupReads } from './group-reads.ts';
import { boundHeld } from './held-bound.ts';
import type { TakeRows } from './merge-memory.ts';
import { dateOwn } from './own-write.ts';
import { REVERT_BYTES_MAX } from './reverts.ts';
import { SetMerge, type SetMergeContext } from './set-merge.ts';
import { type CommittedState, WriteTransaction, type Written } from './write-transaction.ts';

export interface MergeContext extends SetMergeContext {
  /** The server's wall time, in milliseconds. */
  now(): number;
  /** Lets other work run. */
  yield(): Promise<void>;
  /** See `MergeMemory`. */
  takeRows: TakeRows;
}

export class MergeTransaction {
  readonly #transaction: WriteTransaction;
  readonly #context: MergeContext;
  readonly #pace: Pace;
  readonly #reads: GroupReads;
  readonly #sets: SetMerge;
  #batches: readonly Batch[] = [];

  constructor(store: KVTransaction, known: CommittedState, context: MergeContext) {
    const pace = new Pace(() => this.#turn());
    const { identity, now, takeRows } = context;
    const site = identity.siteIdText;
    const transaction = new WriteTransaction(store, known, { site, now, pace, takeRows });
    const reads = new GroupReads(transaction, pace);
    this.#context = context;
    this.#pace = pace;
    this.#transaction = transaction;
    this.#reads = reads;
    this.#sets = new SetMerge({ transaction, reads, pace }, context);
  }

  /** @returns one outcome for each batch, and the state after them */
  async merge(batches: readonly Batch[]): Promise<Written & { outcomes: BatchOutcome[] }> {
    this.#batches = batches;
    await this.#reads.load(batches, this.#context.identity.siteIdText);
    const outcomes: BatchOutcome[] = [];
    for (const batch of batches) outcomes.push(await this.#mergeBatch(batch));
    const written = await this.#transaction.finish();
    for (const { admit } of batches) admit?.();
    return Object.assign(written, { outcomes });
  }

  async #mergeBatch(batch: Batch): Promise<BatchOutcome> {
    const { sender, changeSets, answers, refused, own, expected } = batch;
    const { head, held } = this.#transaction;
    if (expected !== undefined && expected !== head.position) throw new StaleReadError();
    const sets = this.#sets;
    const outcome = emptyOutcome(changeSets.length + answers.length);
    for (const set of changeSets) await sets.merge(set, outcome, sender);
    for (const set of answers) await sets.merge(set, outcome, undefined, sender?.siteId);
    for (const set of refused) await sets.compensate(set, sender?.siteId ?? set.siteId);
    if (own !== undefined) await this.#mergeOwn(own, outcome);
    const unsent = await sets.reverts.send({ bytes: REVERT_BYTES_MAX });
    this.#transaction.refuseGrowth(this.#context);
    outcome.full = sets.endBatch();
    if (held.isTouched || unsent.length > 0) {
      const full = await boundHeld(this.#transaction, this.#context, this.#pace, unsent);
      outcome.full = outcome.full.concat(full);
    }
    outcome.position = head.position;
    return outcome;
  }

  /**
   * Lets other work run. If a batch is not wanted any more, its `goOn` throws and ends the group;
   * the others begin again.
   */
  async #turn(): Promise<void> {
    await this.#context.yield();
    for (const { goOn } of this.#batches) goOn?.();
  }

  async #mergeOwn(changes: readonly WireChange[], outcome: BatchOutcome): Promise<void> {
    const { catalog, log } = this.#transaction;
    const targets = await this.#reads.loadedTargetsOf(changes);
    const met = targets.map((target) => ({
      table: target?.table,
      row: target && this.#reads.rowOf(target).row,
    }));
    const dated = dateOwn(changes, met, catalog, log.nextPosition());
    await this.#sets.merge(dated, outcome);
    outcome.skipped += changes.length - dated.changes.length;
  }
}
