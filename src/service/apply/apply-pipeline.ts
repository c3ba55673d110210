/**
 * Takes a batch from a client to the store and to its answer: authorize, judge, merge, answer,
 * notify. It never answers before the batch is durable.
 */

import { type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import { type ForeignAuthors, Sender } from '../../engine/merge/foreign-authors.ts';
import type { FullHolder } from '../../engine/merge/held-bound.ts';
import { originOf } from '../../hooks/call-origin.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import { ShownSets } from '../../hooks/chain/shown-sets.ts';
import type { CallOrigin, ClientIdentity } from '../../hooks/types.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult } from '../../protocol/types.ts';
import type { Clients } from '../access/clients.ts';
import { type DatabaseAccess, refuseOwnSite } from '../access/open-database.ts';
import { type ReadRight, type Rights, readerOf, toGetChanges } from '../access/rights.ts';
import {
  type Applied,
  answerOf,
  refusalOf,
  resultOf,
  type StoredBatch,
  storedAs,
  toldOf,
} from './answer.ts';
import { ApplyCounts } from './apply-counts.ts';
import { BatchLine, OutdatedError } from './batch-line.ts';
import { DatabaseTurns, type Turn } from './database-turns.ts';
import { type ArrivedBatch, asSent, authorize, BatchJudge, type JudgeOptions } from './judging.ts';
import { WorkUnderWay } from './work-under-way.ts';

export interface Applying {
  /** Resolves when the batch has its place in the queue, or was refused. Never rejects. */
  accepted: Promise<void>;
  /** Resolves when the batch is durable. If it rejects, nothing of the batch is stored. */
  applied: Promise<Applied>;
}

/** The way of a batch into the store. */
interface Passage {
  line: BatchLine;
  /** Its number in the line. */
  number: number;
  /** The batch has its place in the queue. */
  accept(): void;
  signal: AbortSignal | undefined;
}

export interface ApplyPipelineOptions extends JudgeOptions {
  hooks: HookChain;
  rights: Rights;
  clients: Clients;
  /** `sync.foreignAuthors` */
  foreignAuthors: ForeignAuthors;
  /**
   * Sites whose limit of held rows is met have to start over: `sender`, if it is among them, after
   * its answer.
   */
  onFull(databaseId: string, full: readonly FullHolder[], sender: SiteIdText): void;
}

/** The sender of a batch. */
export interface Applicant {
  /**
   * The line of the sender's batches. It knows the identity that the sender has when the batch is
   * stored.
   */
  line?: BatchLine;
  /** Its right to read what its changes have lost against. Default: a new one. */
  right?: ReadRight;
  /** Aborted when the sender has disconnected and gets no answer. */
  signal?: AbortSignal | undefined;
  /** The call in which the batch came. */
  origin?: CallOrigin;
}

export class ApplyPipeline {
  readonly #options: ApplyPipelineOptions;
  readonly #judge: BatchJudge;
  readonly #senders = new WeakMap<ClientIdentity, Sender>();
  readonly #turns = new DatabaseTurns();
  readonly counts = new ApplyCounts();
  /** Batches without an answer, and batches of which hooks have yet to be notified. */
  readonly #work = new WorkUnderWay();

  constructor(options: ApplyPipelineOptions) {
    this.#options = options;
    this.#judge = new BatchJudge(options);
  }

  /**
   * @throws Error when a validator calls it whose batch would become stale by a write to that
   *   database
   */
  refuseWhileJudging(databaseId: string): void {
    this.#turns.refuseWhileJudging(databaseId);
  }

  get isStopping(): boolean {
    return this.#work.isStopping;
  }

  /**
   * Stores a batch, and publishes it to the other sessions. Two promises, so that a transport keeps
   * batches in order without waiting for the disk.
   */
  apply(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    applicant: Applicant = {},
  ): Applying {
    let accept = () => {};
    const accepted = new Promise<void>((resolve) => {
      accept = resolve;
    });
    const applied = this.#apply(client, database, changeSets, accept, applicant);
    return { accepted, applied };
  }

  /** One function for all steps: a promise for each took a tenth of a small batch's time. */
  async #apply(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    accept: () => void,
    applicant: Applicant,
  ): Promise<Applied> {
    const startedAtMs = performance.now();
    const { line = this.#lineOf(client), signal, origin = originOf(client) } = applicant;
    // These modules handle all of the batch, even if a reload replaces them meanwhile.
    const hooks = this.#options.hooks.retain();
    const { right = this.#options.rights.of(line.reader, toGetChanges(database.id)) } = applicant;
    const reading = { right, stamp: right.stamp, signal };
    this.#work.begun();
    try {
      this.#work.refuseWhileStopping();
      this.counts.arrived(changeSets);
      const sender = this.#senderOf(client);
      const shown = new ShownSets();
      const batch = { hooks, client, origin, database, changeSets, sender, shown };
      const { has } = hooks;
      if (has.onAuthorize) await authorize(batch, database.id, changeSets);
      if (has.onAfterApplyChanges) await hooks.notifiable(database.id);
      // Its number is from before the modules judge it: batches keep their order.
      const passage = { line, number: line.enter(), accept, signal };
      const isSerial = has.onBeforeApplyChanges && hooks.isSerialIn(database.id);
      const stored = await (isSerial
        ? this.#mergeInTurn(batch, passage)
        : this.#merge(batch, passage));
      const { full } = stored.outcome;
      if (full.length > 0) this.#options.onFull(database.id, full, sender.siteId);
      // Nothing short waits, so hooks are told of short batches in their order.
      const counting = resultOf(stored, changeSets.length);
      const result = counting instanceof Promise ? await counting : counting;
      this.counts.stored(result);
      if (has.onAfterApplyChanges) this.#tell(batch, stored, result);
      return await answerOf(batch, stored, result, reading);
    } catch (error) {
      throw await refusalOf(error, reading, origin);
    } finally {
      // Also after a refusal, so that the batches behind this one go on.
      accept();
      this.counts.seconds.observe((performance.now() - startedAtMs) / 1000);
      hooks.release();
      this.#work.ended();
    }
  }

  /** For a client whose credentials are never rechecked. */
  #lineOf(client: ClientIdentity): BatchLine {
    return new BatchLine(readerOf(client), this.#options.clients);
  }

  #senderOf(client: ClientIdentity): Sender {
    let sender = this.#senders.get(client);
    if (sender === undefined) {
      sender = new Sender(siteIdToText(client.siteId), this.#options.foreignAuthors);
      this.#senders.set(client, sender);
    }
    return sender;
  }

  /**
   * Gives up the turn while the sender's credentials are rechecked, and has the batch judged again
   * after that.
   */
  async #mergeInTurn(batch: ArrivedBatch, passage: Passage): Promise<StoredBatch> {
    const merge = () =>
      this.#turns.run(batch.database, (turn) => this.#merge(batch, passage, turn));
    try {
      return await merge();
    } catch (error) {
      if (!(error instanceof OutdatedError)) throw error;
      return passage.line.again(passage.number, merge);
    }
  }

  /**
   * @param turn the turn for a database with a serial module, whose batches are judged and stored
   *   one by one
   */
  async #merge(
    batch: ArrivedBatch,
    { line, number, accept, signal }: Passage,
    turn?: Turn,
  ): Promise<StoredBatch> {
    const { hooks, database, changeSets, sender } = batch;
    const isJudged = hooks.has.onBeforeApplyChanges;
    const judge = () => this.#judge.judge(batch);
    const judged = isJudged ? await (turn?.judge(judge) ?? judge()) : asSent(changeSets);
    const opened = await database.open();
    const { manager } = opened;
    refuseOwnSite(sender.siteId, opened);
    const { compensations, refused, moved, changeSets: approved } = judged.approved;
    const verdict = {
      sender,
      expected: turn?.expected,
      compensations,
      // Credentials may expire while hooks run or another group is stored: check right before
      // storing.
      admit: () => line.admit(number),
      // Ends a long merge whose client has gone: the client will send the batch again.
      goOn: () => this.#work.refuseLate(signal),
      // A refused deletion comes behind what it would take away: see `noteRefused`.
      refused: moved.concat(refused),
    };
    const apply = () => manager.apply(approved, verdict);
    // The batches behind this one are not accepted before this one has its place.
    if (turn === undefined && !line.isCurrent) await line.becomeCurrent();
    const merging = apply();
    const merged = isJudged ? this.#judge.accept(batch, judged) : undefined;
    accept();
    try {
      return storedAs(judged, manager, await merging);
    } catch (error) {
      if (turn !== undefined || !(error instanceof OutdatedError)) throw error;
      return storedAs(judged, manager, await line.again(number, apply));
    } finally {
      merged?.();
    }
  }

  /** Notifies hooks after the answer to the client, which must not wait for them. */
  #tell(batch: ArrivedBatch, stored: StoredBatch, result: ApplyResult): void {
    const { hooks, client, origin, shown } = batch;
    this.#work.begun();
    hooks.retain();
    // In this turn of the event loop: a parsed batch must not live until the next one.
    process.nextTick(() => {
      const told = toldOf(stored, batch.changeSets, result);
      hooks.afterApply(client, told.changeSets, Object.assign(told, { shown, origin }));
      hooks.release();
      this.#work.ended();
    });
  }

  /** Refuses new batches from now on, and waits for those under way, for at most `deadlineMs`. */
  settle(deadlineMs: number): Promise<void> {
    return this.#work.settle(deadlineMs);
  }
}
