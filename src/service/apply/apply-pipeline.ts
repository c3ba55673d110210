/**
 * Takes a batch from a client to the store and to its answer: authorize, validate, merge, answer,
 * notify. It never answers before the batch is durable.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import type { BatchOutcome, Unapplied } from '../../engine/merge/batch.ts';
import { toCompensation } from '../../engine/merge/compensation.ts';
import { type ForeignAuthors, Sender } from '../../engine/merge/foreign-authors.ts';
import type { FullHolder } from '../../engine/merge/held-bound.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { originOf } from '../../hooks/call-origin.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import { ShownSets } from '../../hooks/chain/shown-sets.ts';
import type { CallOrigin, ChangeOutcome, ClientIdentity } from '../../hooks/types.ts';
import { CHANGES_BUCKETS, Distribution, SECONDS_BUCKETS } from '../../metrics/counts.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult, RejectedChange } from '../../protocol/types.ts';
import { runByTurns } from '../../wire/steps.ts';
import { type DatabaseAccess, refuseOwnSite } from '../access/open-database.ts';
import type { ReadRight } from '../access/rights.ts';
import { holderOf } from '../budgets/budget.ts';
import type { HookRows } from '../budgets/hook-rows.ts';
import { countChanges, drainPoint } from '../delivery/drain.ts';
import { toApplyOperation } from './apply-operation.ts';
import { withoutForeign, withoutHidden, withRejected } from './apply-outcome.ts';
import { BatchLine, OutdatedError } from './batch-line.ts';
import { AcceptedBatches, PreviewReader } from './batch-reader.ts';
import { outcomesOf } from './change-outcomes.ts';
import { conflictingOf, lossesOf, withConflicting } from './conflicting.ts';
import { type Corrected, type Separated, separateCorrections } from './corrections.ts';
import { DatabaseTurns, type Turn } from './database-turns.ts';
import { type Asking, hiddenOf } from './hidden-losses.ts';
import { judgeUnderAllNames } from './incoming-names.ts';
import { explainForeign, explainRefused } from './rejections.ts';
import { WorkUnderWay } from './work-under-way.ts';

/** The result of a batch, and what to ask of the device next. */
export interface Applied {
  result: ApplyResult;
  /** Ask the device for its changes after this position; `undefined`: there is no need to. */
  drainAfter: HlcText | undefined;
  /** The device's limit of held rows is met: it has to start over once it has its answer. */
  isFull: boolean;
}

export interface Applying {
  /** Resolves when the batch has its place in the queue, or was refused. Never rejects. */
  accepted: Promise<void>;
  /** Resolves when the batch is durable. If it rejects, nothing of the batch is stored. */
  applied: Promise<Applied>;
}

interface Validated {
  /** The answers of the hooks, and the part of them that is merged. */
  corrected: Separated;
  approved: Corrected;
  rejected: readonly RejectedChange[];
}

interface ValidatedBatch extends Asking {
  database: DatabaseAccess;
  changeSets: readonly WireChangeSet[];
  sender: Sender;
  shown: ShownSets;
  line: BatchLine;
  /** The batch has its place in the queue. */
  accept(): void;
  admit(): void;
  /**
   * Repeats `apply` when the sender's credentials have been rechecked; for an `apply` that threw
   * OutdatedError.
   */
  again<T>(apply: () => Promise<T>): Promise<T>;
  goOn(): void;
}

interface Merged extends Validated {
  manager: SyncManager;
  outcome: BatchOutcome;
}

/** What `onAfterApplyChanges` is told of a stored batch. */
interface Told {
  /** Without the cells that it has lost. */
  result: ApplyResult;
  unapplied: readonly Unapplied[];
  position: HlcText;
  shown: ShownSets;
  outcomes(): ChangeOutcome[];
}

export interface ApplyPipelineOptions {
  hooks: HookChain;
  /** `hooks.onReject` */
  onReject: 'keep' | 'revert';
  /** `sync.foreignAuthors` */
  foreignAuthors: ForeignAuthors;
  /**
   * Sites whose limit of held rows is met have to start over: `sender`, if it is among them, after
   * its answer.
   */
  onFull(databaseId: string, full: readonly FullHolder[], sender: SiteIdText): void;
  /** The memory for what the hooks read in a client's calls. */
  hookMemory(holder: string): { rows: HookRows };
  /** @throws SyncError AUTH_EXPIRED when the client's credentials are no longer good */
  refuseExpired(client: ClientIdentity): void;
}

/** The sender of a batch. */
export interface Applicant {
  /**
   * The line of the sender's batches. It knows the identity that the sender has when the batch is
   * stored.
   */
  line?: BatchLine;
  /** Its right to read what its changes have lost against. Without one it is not told, nor that. */
  right?: ReadRight;
  /** Aborted when the sender has disconnected and gets no answer. */
  signal?: AbortSignal | undefined;
  /** The call in which the batch came. */
  origin?: CallOrigin;
}

export class ApplyPipeline {
  readonly #options: ApplyPipelineOptions;
  readonly #accepted = new AcceptedBatches();
  readonly #senders = new WeakMap<ClientIdentity, Sender>();
  readonly #turns = new DatabaseTurns();
  /** Changes and migrations of all batches so far. */
  readonly counts = { received: 0, applied: 0, skipped: 0, conflicting: 0, rejected: 0 };
  /** Changes and migrations in each batch. */
  readonly batchSizes = new Distribution(CHANGES_BUCKETS);
  /** Seconds from the arrival of a batch to its being durable. */
  readonly seconds = new Distribution(SECONDS_BUCKETS);
  /** Batches without an answer, and batches of which hooks have yet to be notified. */
  readonly #work = new WorkUnderWay();

  constructor(options: ApplyPipelineOptions) {
    this.#options = options;
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

  /** Two promises, so that a transport keeps batches in order without waiting for the disk. */
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
    { line = lineOf(client), right, signal, origin = originOf(client) }: Applicant,
  ): Promise<Applied> {
    const stopTimer = this.seconds.startTimer();
    // These modules handle all of the batch, even if a reload replaces them meanwhile.
    const hooks = this.#options.hooks.retain();
    const asking = { hooks, client, origin };
    const stamp = right?.stamp;
    this.#work.begun();
    try {
      const sender = this.#senderOf(client);
      await this.#admit(asking, database, changeSets);
      // Credentials may expire while hooks run or another group is stored: check right before
      // storing.
      const number = line.enter();
      const admit = () => {
        this.#options.refuseExpired(line.who());
        line.demandCurrent(number);
      };
      const again = <T>(apply: () => Promise<T>) => line.again(number, apply);
      // Ends a long merge whose client has gone: the client will send the batch again.
      const goOn = () => this.#refuseLate(signal);
      const shown = new ShownSets();
      const steps = { accept, admit, again, goOn };
      const batch = { ...asking, database, changeSets, sender, shown, line, ...steps };
      const { manager, corrected, approved, rejected, outcome } = hooks.isSerialIn(database.id)
        ? await this.#mergeInTurn(batch)
        : await this.#merge(batch);
      const { applied, skipped, conflicts, position, unapplied, full } = outcome;
      const isFull = full.some(({ site }) => site === sender.siteId);
      if (full.length > 0) this.#options.onFull(database.id, full, sender.siteId);
      const transactions = changeSets.length;
      const foreign = unapplied.filter(({ outcome }) => outcome === 'foreign');
      // Nothing short waits, so hooks are told of short batches in their order.
      const explaining = runByTurns(explainForeign(foreign));
      const explained = explaining instanceof Promise ? await explaining : explaining;
      const counts = { applied, skipped, conflicts, transactions };
      const result = withRejected(counts, rejected.concat(explained));
      this.#count(result);
      const { identity } = manager;
      const outcomes = () =>
        outcomesOf({ sent: changeSets, corrected, rejected, unapplied, identity });
      const stored = withoutForeign(approved, foreign);
      const own = stored.compensations.map((set) => toCompensation(set, identity));
      const after = { result, position, shown, outcomes, unapplied };
      this.#tell(asking, [...stored.changeSets, ...own], after);
      const reading = { sender, sent: approved.changeSets, right, stamp, signal };
      const hidden = await hiddenOf(asking, manager, position, unapplied, reading);
      const seen =
        hidden.size === 0
          ? result
          : await runByTurns(withoutHidden(result, rejected, unapplied, hidden));
      // By what it is told: `drainAfter` must not reveal hidden changes either. A refused change was
      // new as well, so the changes after it must not be skipped.
      const isNews = seen.applied > 0 || rejected.length > 0;
      const kind = isNews ? 'news' : seen.rejected !== undefined ? 'foreign' : 'known';
      const drainAfter = await drainPoint(manager, client.siteId, changeSets, kind);
      const told = unapplied.filter(({ item }) => !hidden.has(item));
      const losses = await runByTurns(lossesOf(told, sender.siteId));
      return { result: { ...seen, ...losses }, drainAfter, isFull };
    } finally {
      // Also after a refusal, so that the batches behind this one go on.
      accept();
      stopTimer();
      hooks.release();
      this.#work.ended();
    }
  }

  #senderOf(client: ClientIdentity): Sender {
    let sender = this.#senders.get(client);
    if (sender === undefined) {
      sender = new Sender(siteIdToText(client.siteId), this.#options.foreignAuthors);
      this.#senders.set(client, sender);
    }
    return sender;
  }

  /** @throws SyncError when the time for a stop is over, or the sender has gone */
  #refuseLate(signal: AbortSignal | undefined): void {
    this.#work.refuseOverdue();
    if (signal?.aborted === true) {
      throw new SyncError('APPLY_CHANGES_ERROR', 'the sender has gone before they were stored');
    }
  }

  async #admit(
    { hooks, client, origin }: Asking,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
  ): Promise<void> {
    this.#work.refuseWhileStopping();
    const changeCount = countChanges(changeSets);
    this.counts.received += changeCount;
    this.batchSizes.observe(changeCount);
    const operation = toApplyOperation(database.id, changeSets);
    await hooks.authorize(client, operation, undefined, origin);
    const backpressureOn = () => hooks.backpressureOn(database.id);
    // Notify hooks run on their own: wait while their queues are too long.
    for (let wait = backpressureOn(); wait !== undefined; wait = backpressureOn()) await wait;
  }

  /**
   * Gives up the turn while the sender's credentials are rechecked, and has the batch judged again
   * after that.
   */
  async #mergeInTurn(batch: ValidatedBatch): Promise<Merged> {
    const merge = () => this.#turns.run(batch.database, (turn) => this.#merge(batch, turn));
    try {
      return await merge();
    } catch (error) {
      if (!(error instanceof OutdatedError)) throw error;
      return batch.again(merge);
    }
  }

  /**
   * @param turn the turn for a database with a serial module, whose batches are judged and stored
   *   one by one
   */
  async #merge(batch: ValidatedBatch, turn?: Turn): Promise<Merged> {
    const { hooks, client, database, changeSets, sender, line, accept, admit, goOn } = batch;
    const { corrected, approved, rejected } = hooks.has.onBeforeApplyChanges
      ? await (turn?.judge(() => this.#validate(batch)) ?? this.#validate(batch))
      : asSent(changeSets);
    const opened = await database.open();
    const { manager } = opened;
    refuseOwnSite(client, opened);
    const { compensations, refused, moved } = approved;
    const apply = () =>
      manager.apply(approved.changeSets, {
        ...{ sender, admit, goOn, expected: turn?.expected, compensations },
        // A refused deletion comes behind what it would take away: see `noteRefused`.
        refused: moved.concat(refused),
      });
    // The batches behind this one are not accepted before this one has its place.
    if (turn === undefined && !line.isCurrent) await line.becomeCurrent();
    const stored = apply();
    const own = approved.changeSets.concat(compensations);
    const waiting = hooks.has.onBeforeApplyChanges
      ? this.#accepted.add(database.id, sender, own)
      : undefined;
    accept();
    try {
      return { manager, corrected, approved, rejected, outcome: await stored };
    } catch (error) {
      if (turn !== undefined || !(error instanceof OutdatedError)) throw error;
      return { manager, corrected, approved, rejected, outcome: await batch.again(apply) };
    } finally {
      if (waiting !== undefined) this.#accepted.remove(waiting);
    }
  }

  async #validate(batch: ValidatedBatch): Promise<Validated> {
    const { hooks, client, origin, database, changeSets, sender, shown } = batch;
    const accepted = this.#accepted;
    const reader = () => {
      const { rows } = this.#options.hookMemory(holderOf(client, client.remoteAddress));
      return new PreviewReader({ database, sender, accepted, rows });
    };
    const verdict = await hooks.beforeApply(client, changeSets, { origin, reader, shown });
    const { manager } = await database.open();
    const { approved, lineage } = await judgeUnderAllNames(
      verdict,
      manager.tables.aliases,
      (sets) => hooks.beforeApply(client, sets, { isOtherName: true, origin, reader }),
    );
    if (approved === changeSets && lineage.saysNothing) return asSent(changeSets);
    const corrected = await runByTurns(separateCorrections(changeSets, approved, lineage));
    const { compensations, refused, moved } = corrected;
    // Only the device's own changes are compensated or reverted. A compensation of another site's
    // change would win over that change when its author sends it. And a revert that the device
    // pushes back would, once compensated, reach every client.
    const pick = (sets: readonly WireChangeSet[], which: 'foreign' | 'own') =>
      sender.pick(sets, which, manager.identity.hlcs);
    return {
      corrected,
      approved: {
        changeSets: corrected.changeSets.concat(pick(compensations, 'foreign')),
        compensations: pick(compensations, 'own'),
        refused: this.#options.onReject === 'revert' ? pick(refused, 'own') : [],
        moved: pick(moved, 'own'),
      },
      rejected: await runByTurns(explainRefused(refused, lineage)),
    };
  }

  /** Notifies hooks after the answer to the client, which must not wait for them. */
  #tell(
    { hooks, client, origin }: Asking,
    changeSets: readonly WireChangeSet[],
    { result, unapplied, position, shown, outcomes }: Told,
  ): void {
    if (!hooks.has.onAfterApplyChanges) return;
    this.#work.begun();
    hooks.retain();
    // In this turn of the event loop: a parsed batch must not live until the next one.
    process.nextTick(() => {
      const all = withConflicting(result, conflictingOf(unapplied));
      const newest = result.applied > 0 ? position : undefined;
      const outcome = { result: all, position: newest, shown, outcomes, origin };
      hooks.afterApply(client, changeSets, outcome);
      hooks.release();
      this.#work.ended();
    });
  }

  #count({ applied, skipped, conflicts, rejected = [] }: ApplyResult): void {
    this.counts.applied += applied;
    this.counts.skipped += skipped;
    this.counts.conflicting += conflicts;
    this.counts.rejected += rejected.length;
  }

  /** Refuses new batches from now on, and waits for those under way, for at most `deadlineMs`. */
  settle(deadlineMs: number): Promise<void> {
    return this.#work.settle(deadlineMs);
  }
}

/** For a batch about which no hook is asked. */
function asSent(changeSets: readonly WireChangeSet[]): Validated {
  const approved = { changeSets, compensations: [], refused: [], moved: [] };
  return { corrected: { ...approved, rewrites: new Map() }, approved, rejected: [] };
}

/** For a client whose credentials are never rechecked. */
function lineOf(client: ClientIdentity): BatchLine {
  return new BatchLine({ who: () => client }, { isCurrent: () => true });
}
