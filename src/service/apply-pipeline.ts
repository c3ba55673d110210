/** The way of a batch: authorise → validate → apply → tell. */

import { decodeHlc, type HlcText } from '../clock/hlc.ts';
import { type SiteIdText, siteIdToText } from '../clock/site-id.ts';
import type { BatchOutcome } from '../engine/merge/batch.ts';
import { toCompensation } from '../engine/merge/compensation.ts';
import { type ForeignAuthors, Sender } from '../engine/merge/foreign-authors.ts';
import type { FullHolder } from '../engine/merge/held-bound.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import { SyncError } from '../errors/sync-error.ts';
import { originOf } from '../hooks/call-origin.ts';
import type { HookChain } from '../hooks/chain.ts';
import type { CallOrigin, ChangeOutcome, ClientIdentity } from '../hooks/types.ts';
import { CHANGES_BUCKETS, Distribution, SECONDS_BUCKETS } from '../metrics/counts.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import type { ApplyResult, RejectedChange } from '../protocol/types.ts';
import { decodeLazily } from '../wire/lazy-change-set.ts';
import { toApplyOperation } from './apply-operation.ts';
import {
  type Asking,
  hiddenOf,
  withoutForeign,
  withoutHidden,
  withRejected,
} from './apply-outcome.ts';
import { BatchLine, OutdatedError } from './batch-line.ts';
import { AcceptedBatches, PreviewReader } from './batch-reader.ts';
import { type Corrected, type Separated, separateCorrections } from './corrections.ts';
import { DatabaseTurns, type Turn } from './database-turns.ts';
import { countChanges, drainPoint } from './drain.ts';
import { judgeUnderAllNames } from './incoming-names.ts';
import { type DatabaseAccess, refuseOwnSite } from './open-database.ts';
import { outcomesOf } from './outcomes.ts';
import { explainForeign, explainRefused } from './rejections.ts';
import { WorkUnderWay } from './work-under-way.ts';

/** What became of a batch, and where to ask the device to go on. */
export interface Applied {
  result: ApplyResult;
  /** Ask the device for its changes after this; `undefined` if there is no reason to. */
  drainAfter: HlcText | undefined;
  /** Once it has the answer the device has to start over: else it would bring the same once more. */
  isFull: boolean;
}

export interface Applying {
  /** Settles, never rejecting, when the batch has its place in the queue or was refused. */
  accepted: Promise<void>;
  /** Resolves when it is durable. When it rejects, nothing of the batch is stored. */
  applied: Promise<Applied>;
}

interface Validated {
  /** What hooks made of it, and what of that is to be merged. */
  corrected: Separated;
  approved: Corrected;
  rejected: readonly RejectedChange[];
}

interface ValidatedBatch extends Asking {
  database: DatabaseAccess;
  changeSets: readonly WireChangeSet[];
  sender: Sender;
  line: BatchLine;
  /** It has its place in the queue. */
  accept(): void;
  admit(): void;
  /** In the place of `apply`, where that came while its sender's credentials were yet to be looked at. */
  again<T>(apply: () => Promise<T>): Promise<T>;
  goOn(): void;
}

interface Merged extends Validated {
  manager: SyncManager;
  outcome: BatchOutcome;
}

/** What hooks are told of a batch that is stored. */
interface Told {
  result: ApplyResult;
  position: HlcText;
  outcomes(): ChangeOutcome[];
}

export interface ApplyPipelineOptions {
  hooks: HookChain;
  /** `hooks.onReject` */
  onReject: 'keep' | 'revert';
  /** `sync.foreignAuthors` */
  foreignAuthors: ForeignAuthors;
  /** Sites have to start over; `sender`, which may be among them, after its answer. */
  onFull(databaseId: string, full: readonly FullHolder[], sender: SiteIdText): void;
  /** Throws AUTH_EXPIRED when nothing is to be done for the client any more. */
  refuseExpired(client: ClientIdentity): void;
}

/** Who sent a batch. */
export interface Applicant {
  /** Of its batches: it may have newer credentials by the time that one is stored. */
  line?: BatchLine;
  /** Aborted when it has gone, and will hear of no answer. */
  signal?: AbortSignal | undefined;
  /** What it has sent the batch in. */
  origin?: CallOrigin;
}

export class ApplyPipeline {
  readonly #options: ApplyPipelineOptions;
  readonly #accepted = new AcceptedBatches();
  readonly #turns = new DatabaseTurns();
  /** Changes and migrations of all batches so far. */
  readonly counts = { received: 0, applied: 0, skipped: 0, conflicting: 0, rejected: 0 };
  /** How many of them a batch has. */
  readonly batchSizes = new Distribution(CHANGES_BUCKETS);
  /** From an apply being taken up to its being durable. */
  readonly seconds = new Distribution(SECONDS_BUCKETS);
  /** Batches that are not answered yet, and those that hooks are yet to be told of. */
  readonly #work = new WorkUnderWay();

  constructor(options: ApplyPipelineOptions) {
    this.#options = options;
  }

  /** @throws Error when a validator calls it whose batch a write to that database would make stale */
  refuseWhileJudging(databaseId: string): void {
    this.#turns.refuseWhileJudging(databaseId);
  }

  get isStopping(): boolean {
    return this.#work.isStopping;
  }

  /** The two halves let a transport keep messages in order without waiting for the disk. */
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

  /** One function, not one for each step: a promise for each took a tenth of a small batch's time. */
  async #apply(
    client: ClientIdentity,
    database: DatabaseAccess,
    changeSets: readonly WireChangeSet[],
    accept: () => void,
    { line = lineOf(client), signal, origin = originOf(client) }: Applicant,
  ): Promise<Applied> {
    const stopTimer = this.seconds.startTimer();
    // Whatever takes their place meanwhile, these judge all of it, and are told of it.
    const hooks = this.#options.hooks.retain();
    const asking = { hooks, client, origin };
    this.#work.begun();
    try {
      const sender = new Sender(siteIdToText(client.siteId), this.#options.foreignAuthors);
      await this.#admit(asking, database, changeSets);
      // Hooks may take their time, and a group of others may have to be stored first.
      const number = line.enter();
      const admit = () => {
        this.#options.refuseExpired(line.who());
        line.demandCurrent(number);
      };
      const again = <T>(apply: () => Promise<T>) => line.again(number, apply);
      // What takes long to merge is given up when nobody waits for it any more: it will be sent again.
      const goOn = () => this.#refuseLate(signal);
      const batch = { ...asking, database, changeSets, sender, line, accept, admit, again, goOn };
      const { manager, corrected, approved, rejected, outcome } = hooks.isSerialIn(database.id)
        ? await this.#mergeInTurn(batch)
        : await this.#merge(batch);
      const { applied, skipped, conflicts, position, unapplied, full } = outcome;
      const isFull = full.some(({ site }) => site === sender.siteId);
      if (full.length > 0) this.#options.onFull(database.id, full, sender.siteId);
      const transactions = changeSets.length;
      const foreign = unapplied.flatMap(({ item, outcome }) => (outcome === 'foreign' ? item : []));
      const result = withRejected({ applied, skipped, conflicts, transactions }, [
        ...rejected,
        ...explainForeign(foreign),
      ]);
      this.#count(result);
      const { identity } = manager;
      const outcomes = () =>
        outcomesOf({ sent: changeSets, corrected, rejected, unapplied, identity });
      const told = withoutForeign(approved, foreign);
      const own = told.compensations.map((set) => toCompensation(set, identity));
      this.#tell(asking, [...told.changeSets, ...own], { result, position, outcomes });
      // What was refused was new, too: nothing that follows it may be skipped.
      const hadNews = applied > 0 || rejected.length > 0;
      const hidden = await hiddenOf(asking, manager, position, unapplied);
      // What it may not see of what became of it, it must not hear in this way either.
      const isNews = hadNews || hidden.size > 0;
      const kind = isNews ? 'news' : foreign.length > 0 ? 'foreign' : 'known';
      const drainAfter = await drainPoint(manager, client.siteId, changeSets, kind);
      return { result: withoutHidden(result, rejected, unapplied, hidden), drainAfter, isFull };
    } finally {
      // A batch that was refused holds up nobody.
      accept();
      stopTimer();
      hooks.release();
      this.#work.ended();
    }
  }

  /** @throws SyncError when what is yet to be stored is not to be waited for */
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
    // Hooks for whose calls nobody waits must not fall behind without end.
    for (let wait = backpressureOn(); wait !== undefined; wait = backpressureOn()) await wait;
  }

  /** Others have their turns while the credentials of its sender are looked at; it is judged anew after that. */
  async #mergeInTurn(batch: ValidatedBatch): Promise<Merged> {
    const merge = () => this.#turns.run(batch.database, (turn) => this.#merge(batch, turn));
    try {
      return await merge();
    } catch (error) {
      if (!(error instanceof OutdatedError)) throw error;
      return batch.again(merge);
    }
  }

  /** @param turn where batches are judged and stored one after the other */
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
        refused: refused.concat(moved),
      });
    // What follows it is not taken before it has its place.
    if (turn === undefined && !line.isCurrent) await line.becomeCurrent();
    const stored = apply();
    const own = approved.changeSets.concat(compensations);
    const settle = hooks.has.onBeforeApplyChanges
      ? this.#accepted.add(database.id, sender, own)
      : undefined;
    accept();
    try {
      return { manager, corrected, approved, rejected, outcome: await stored };
    } catch (error) {
      if (turn !== undefined || !(error instanceof OutdatedError)) throw error;
      return { manager, corrected, approved, rejected, outcome: await batch.again(apply) };
    } finally {
      settle?.();
    }
  }

  async #validate(batch: ValidatedBatch): Promise<Validated> {
    const { hooks, client, origin, database, changeSets, sender } = batch;
    const reader = () => new PreviewReader(database, sender, this.#accepted);
    const given = changeSets.map(decodeLazily);
    const verdict = await hooks.beforeApply(client, given, { origin, reader });
    const { manager } = await database.open();
    const { approved, lineage } = await judgeUnderAllNames(
      verdict,
      manager.tables.aliases,
      (sets) => hooks.beforeApply(client, sets, { isOtherName: true, origin, reader }),
    );
    const corrected = separateCorrections(changeSets, approved, lineage);
    const { compensations, refused, moved } = corrected;
    // Only a device's own is corrected and taken back: an answer to what another one has dated would
    // win against that when its author sends it. And what it alone was told, in the place of something that
    // was refused, would become everybody's by being corrected when it pushes that back.
    const pick = (sets: readonly WireChangeSet[], which: 'foreign' | 'own') =>
      sender.pick(sets, which, manager.identity.sample);
    return {
      corrected,
      approved: {
        changeSets: corrected.changeSets.concat(pick(compensations, 'foreign')),
        compensations: pick(compensations, 'own'),
        refused: this.#options.onReject === 'revert' ? pick(refused, 'own') : [],
        moved: pick(moved, 'own'),
      },
      rejected: explainRefused(refused, lineage),
    };
  }

  /** Later than the answer to the client: what a hook does must not hold that up. */
  #tell(
    { hooks, client, origin }: Asking,
    changeSets: readonly WireChangeSet[],
    { result, position, outcomes }: Told,
  ): void {
    if (!hooks.has.onAfterApplyChanges) return;
    this.#work.begun();
    hooks.retain();
    // Still in this turn: what a batch was parsed to must not live on until the next one.
    process.nextTick(() => {
      hooks.afterApply(client, changeSets.map(decodeLazily), {
        ...{ result, outcomes, origin },
        position: result.applied > 0 ? decodeHlc(position) : undefined,
      });
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

  /** Refuses new batches from now on, and waits for those under way, up to a deadline. */
  settle(deadlineMs: number): Promise<void> {
    return this.#work.settle(deadlineMs);
  }
}

/** Of what no hook is asked about. */
function asSent(changeSets: readonly WireChangeSet[]): Validated {
  const approved = { changeSets, compensations: [], refused: [], moved: [] };
  return { corrected: { ...approved, rewrites: new Map() }, approved, rejected: [] };
}

/** Of one whose credentials nobody looks at again. */
function lineOf(client: ClientIdentity): BatchLine {
  return new BatchLine({ who: () => client }, () => true);
}
