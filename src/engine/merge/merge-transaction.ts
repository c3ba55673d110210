/**
 * Merges a group of change sets within one store transaction: reads what they touch,
 * decides what wins, and puts rows, log records and catalog in one write.
 */

import { HLC_MAX, HLC_MIN, type HlcText, minHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { LogDraft } from '../log/log-draft.ts';
import { authorsOf } from '../log/log-record.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, JsonNames } from '../records/change-json.ts';
import type { Identity } from '../records/head.ts';
import { Pace } from '../records/pace.ts';
import type { LoadedRow } from '../records/row-set.ts';
import { migrationToJson, type TableRecord } from '../records/table-record.ts';
import { type CatalogLimits, refuseGrowth } from '../tables/catalog-size.ts';
import { type ChangeTarget, targetsOf } from '../tables/change-target.ts';
import { TargetFinder } from '../tables/table-names.ts';
import { type Batch, type BatchOutcome, count, emptyOutcome } from './batch.ts';
import type { Sender } from './foreign-authors.ts';
import { ForeignChanges, type Outcome } from './foreign-changes.ts';
import { GroupReads } from './group-reads.ts';
import { boundHeld, type FullHolder, type HeldBoundContext } from './held-bound.ts';
import { createWinningBytes, LostCells, voidLossOf } from './lost-cells.ts';
import type { TakeRows } from './merge-memory.ts';
import { dateOwn } from './own-write.ts';
import { REVERT_BYTES_MAX, Reverts } from './reverts.ts';
import { RowMerge, type RowMergeContext } from './row-merge.ts';
import { StaleReadError } from './stale-read.ts';
import { StepBudget } from './step-budget.ts';
import { isSent, mergeMigration } from './table-ddl.ts';
import { type EmptyingContext, emptySome } from './table-emptying.ts';
import {
  isTombstoneUndelivered,
  redeliver,
  type UndeliveredTombstone,
  type Writer,
} from './tombstone-redelivery.ts';
import { type CommittedState, WriteTransaction, type Written } from './write-transaction.ts';

export interface MergeContext extends EmptyingContext, HeldBoundContext, RowMergeContext {
  catalogLimits: CatalogLimits;
  identity: Identity;
  /** The server's wall time, in milliseconds. */
  now(): number;
  /** Lets other work run. */
  yield(): Promise<void>;
  /** See `MergeMemory`. */
  takeRows: TakeRows;
}

/** The context in which the changes of one set are merged. */
interface Merging {
  /** One for each change. */
  targets: readonly (ChangeTarget | undefined)[];
  draft: LogDraft;
  result: BatchOutcome;
  sender: Sender | undefined;
  writer: Writer;
}

const NO_COLUMNS: readonly string[] = [];
/** Migrations that are merged before other work of this process has its turn. */
const MIGRATIONS_AT_ONCE = 16;

export class MergeTransaction {
  readonly #transaction: WriteTransaction;
  readonly #context: MergeContext;
  readonly #names = new JsonNames();
  readonly #pace: Pace;
  /** What is emptied of dropped tables within this transaction. */
  readonly #budget: StepBudget;
  #batches: readonly Batch[] = [];
  /** Sites that have to start over since a table was emptied for the batch. */
  #full: FullHolder[] = [];
  readonly #reads: GroupReads;
  readonly #reverts: Reverts;
  readonly #rowMerge: RowMerge;
  readonly #foreign: ForeignChanges;
  /** Of the batch that is being merged. */
  #lost: LostCells;

  constructor(store: KVTransaction, known: CommittedState, context: MergeContext) {
    const site = context.siteIdText;
    this.#context = context;
    this.#budget = new StepBudget(context);
    this.#pace = new Pace(() => this.#turn());
    const pace = this.#pace;
    this.#transaction = new WriteTransaction(store, known, {
      site,
      now: () => context.now(),
      pace,
      takeRows: context.takeRows,
    });
    this.#reads = new GroupReads(this.#transaction, pace);
    this.#reverts = new Reverts(this.#transaction, this.#names, context.identity, pace);
    this.#rowMerge = new RowMerge(context, this.#names, (changes) =>
      this.#transaction.log.noteReplaced(changes),
    );
    const catalog = () => this.#transaction.catalog;
    this.#lost = new LostCells(this.#names, createWinningBytes());
    this.#foreign = new ForeignChanges(catalog, context.identity.hlcs, this.#rowMerge);
  }

  /** @returns one outcome for each batch, and the state after them */
  async merge(batches: readonly Batch[]): Promise<Written & { outcomes: BatchOutcome[] }> {
    this.#batches = batches;
    const winningBytes = createWinningBytes();
    await this.#reads.load(batches, this.#context.siteIdText);
    const outcomes: BatchOutcome[] = [];
    for (const { sender, changeSets, answers, refused, own, expected } of batches) {
      const { position } = this.#transaction.head;
      if (expected !== undefined && expected !== position) throw new StaleReadError();
      const outcome = emptyOutcome(changeSets.length + answers.length);
      this.#lost = new LostCells(this.#names, winningBytes);
      for (const set of changeSets) await this.#mergeSet(set, outcome, sender);
      for (const set of answers) await this.#mergeSet(set, outcome, undefined, sender?.siteId);
      for (const set of refused) await this.#compensate(set, sender?.siteId ?? set.siteId);
      if (own !== undefined) await this.#mergeOwn(own, outcome);
      const unsent = await this.#reverts.send({ bytes: REVERT_BYTES_MAX });
      this.#refuseGrowth();
      const full = await boundHeld(this.#transaction, this.#context, this.#pace, unsent);
      outcome.full = [...this.#full.splice(0), ...full];
      outcome.position = this.#transaction.head.position;
      outcomes.push(outcome);
    }
    const written = await this.#transaction.finish();
    for (const { admit } of batches) admit?.();
    return { ...written, outcomes };
  }

  /**
   * Lets other work run. If a batch is not wanted any more, its `goOn` throws and ends the group;
   * the others begin again.
   */
  async #turn(): Promise<void> {
    await this.#context.yield();
    for (const { goOn } of this.#batches) goOn?.();
  }

  #refuseGrowth(): void {
    const { base, catalog } = this.#transaction;
    refuseGrowth(base.size, catalog.size, this.#context.catalogLimits);
  }

  async #mergeOwn(changes: readonly WireChange[], outcome: BatchOutcome): Promise<void> {
    const { catalog, log } = this.#transaction;
    const finder = new TargetFinder(catalog);
    const tableOf = (change: WireChange) => toTable(finder.find(change));
    const targets = await targetsOf(changes, this.#names, tableOf, this.#pace);
    await this.#reads.loadRows(targets);
    const met = targets.map((target) => ({
      table: target?.table,
      row: target && this.#reads.rowOf(target).row,
    }));
    const dated = dateOwn(changes, met, catalog, log.nextPosition());
    await this.#mergeSet(dated, outcome);
    outcome.skipped += changes.length - dated.changes.length;
  }

  /** Sends the site that made refused changes, and no other, what is stored instead. */
  async #compensate(changeSet: WireChangeSet, site: SiteIdText): Promise<void> {
    // It only reads, so it makes no table for an unknown name.
    const finder = new TargetFinder(this.#transaction.catalog);
    const tableOf = (change: WireChange) => toTable(finder.find(change));
    const targets = await targetsOf(changeSet.changes, this.#names, tableOf, this.#pace);
    await this.#reads.loadRows(targets);
    await this.#transaction.sites.load([site]);
    const snapshot = () => this.#transaction.sites.snapshotOf(site);
    const writer = { isAnswer: false, snapshot };
    const undelivered: UndeliveredTombstone[] = [];
    for (const [i, change] of changeSet.changes.entries()) {
      const target = targets[i];
      if (!target?.isLive) continue;
      const loaded = this.#reads.rowOf(target);
      if (isTombstoneUndelivered(change, target, loaded.row, writer))
        undelivered.push({ target, loaded });
      else this.#reverts.refused(change, target, loaded, site);
      const turn = this.#pace.did(1);
      if (turn !== undefined) await turn;
    }
    this.#redeliver(undelivered);
  }

  /** @param answered for a set of the coordinator's: the site whose changes it answers */
  async #mergeSet(
    changeSet: WireChangeSet,
    result: BatchOutcome,
    sender?: Sender,
    answered?: SiteIdText,
  ): Promise<void> {
    const { log, sites } = this.#transaction;
    const draft = new LogDraft(log.nextPosition());
    this.#foreign.begin();
    for (const [i, migration] of changeSet.schemaMigrations.entries()) {
      // Each migration reads all that renames connect to it, so many of them may take long.
      if (i % MIGRATIONS_AT_ONCE === MIGRATIONS_AT_ONCE - 1) {
        this.#refuseGrowth();
        await this.#turn();
      }
      const outcome = this.#mergeMigration(migration, draft, sender);
      const isKnown = outcome === 'skipped' && isSent(this.#transaction.catalog, migration);
      count(result, changeSet, migration, outcome, isKnown ? { by: migration.hlc } : {});
    }
    const targets = await this.#targetsOf(changeSet, draft.position, sender);
    await this.#reads.loadRows(targets);
    const site = answered ?? siteOf(changeSet, sender);
    const snapshot = () => this.#transaction.sites.snapshotOf(site);
    const writer = { isAnswer: answered !== undefined, snapshot };
    const merging = { targets, draft, result, sender, writer };
    const undelivered = await this.#mergeChanges(changeSet, merging);
    // Only what a site sent itself counts for its send progress, not what other sites send of it.
    for (const [site, hlc] of draft.newest()) {
      if (site === sender?.siteId) sites.authored(site, hlc);
    }
    if (!draft.isEmpty) {
      const { transactionId } = changeSet;
      const { position, authors, changes, migrations } = draft;
      const tables = draft.tables.toString();
      const siteId = siteOf(changeSet, sender);
      const record = { position, siteId, transactionId, authors, tables, changes, migrations };
      const bytes = log.append(record);
      const turn = this.#pace.did(1, bytes);
      if (turn !== undefined) await turn;
    }
    // Rows that were held for a dropped name are sent after the DDL that uses the name again.
    if (changeSet.schemaMigrations.length > 0) await this.#emptyEnded(draft.position);
    this.#redeliver(undelivered);
  }

  #mergeMigration(migration: WireMigration, draft: LogDraft, sender: Sender | undefined): Outcome {
    const { catalog, log } = this.#transaction;
    if (sender?.isForeign(migration)) {
      if (sender.foreignAuthors === 'refuse') return 'foreign';
      // It is only tried: the catalog does not even record it as known.
      const { outcome } = mergeMigration(catalog.trial(), migration, draft.position);
      return outcome === 'applied' ? 'foreign' : outcome;
    }
    const merged = mergeMigration(catalog, migration, draft.position);
    for (const sent of merged.sent) draft.addMigration(sent.hlc, migrationToJson(sent));
    if (merged.endsTables) log.noteEnded(draft.position);
    log.noteReplaced(merged.replaced);
    return merged.outcome;
  }

  /** Empties the tables that DDL dropped or replaced at a position, as far as the budget goes. */
  async #emptyEnded(position: HlcText): Promise<void> {
    const { catalog } = this.#transaction;
    const ended = [...catalog.unsettled()].filter(({ changed }) => changed === position);
    for (const { id } of ended) {
      if (this.#budget.isSpent) return;
      const step = await emptySome(this.#transaction, id, undefined, this.#budget, this.#context);
      this.#full.push(...step.full);
    }
  }

  /**
   * The table and row of each change. A change to an unknown name makes a table: there is no row,
   * so it takes effect. A foreign change makes none.
   */
  #targetsOf(
    { changes }: WireChangeSet,
    position: HlcText,
    sender: Sender | undefined,
  ): Promise<(ChangeTarget | undefined)[]> {
    const { catalog } = this.#transaction;
    const finder = new TargetFinder(catalog);
    const tableOf = (change: WireChange) => {
      const bearer = finder.find(change);
      const isForeign = sender !== undefined && this.#foreign.has(change, sender);
      if (bearer !== 'unknown' || isForeign) return toTable(bearer);
      const { schema, table } = change;
      return catalog.create({ schema, table, made: HLC_MIN, changed: position });
    };
    return targetsOf(changes, this.#names, tableOf, this.#pace);
  }

  /** @returns deletions that the author may not have received */
  async #mergeChanges(
    changeSet: WireChangeSet,
    { targets, draft, result, sender, writer }: Merging,
  ): Promise<readonly UndeliveredTombstone[]> {
    const { changes } = changeSet;
    const { floors } = this.#transaction;
    if (!floors.areNone) {
      const [first, ...others] = changes;
      const oldest = others.reduce((least, { hlc }) => minHlc(least, hlc), first?.hlc ?? HLC_MAX);
      await floors.loadAbove(oldest);
    }
    const undelivered: UndeliveredTombstone[] = [];
    let current: { target: ChangeTarget; loaded: LoadedRow } | undefined;
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i] as WireChange;
      const target = targets[i];
      const isForeign = sender !== undefined && this.#foreign.has(change, sender);
      if (target === undefined) {
        const outcome = isForeign ? this.#foreign.judgeVoid(change, sender) : 'skipped';
        count(result, changeSet, change, outcome, voidLossOf(this.#transaction.catalog, change));
        continue;
      }
      if (current?.target !== target) current = { target, loaded: this.#reads.rowOf(target) };
      const { loaded } = current;
      const isDeletionOfHeld = change.type === 'delete' && floors.mayConcern(change.hlc);
      const columnsBefore = isDeletionOfHeld ? [...loaded.row.cells.keys()] : NO_COLUMNS;
      const outcome = isForeign
        ? this.#foreign.judge(change, target, loaded, sender)
        : this.#rowMerge.merge(change, target, loaded, draft);
      const loss = this.#rowMerge.lossOf(change, outcome, target, loaded, this.#lost);
      count(result, changeSet, change, outcome, loss);
      if (outcome === 'applied') {
        loaded.changed = true;
        if (target.isLive) {
          draft.logged.add(change.hlc);
          draft.tables.add(target.table.id);
          if (this.#reverts.mayConcern(change.hlc)) {
            this.#reverts.applied({ change, columnsBefore }, target, loaded);
          }
        } else draft.held.add(change.hlc);
      } else if (
        outcome !== 'foreign' &&
        isTombstoneUndelivered(change, target, loaded.row, writer)
      ) {
        undelivered.push({ target, loaded });
      }
      const turn = this.#pace.did(1, draft.changes.lastBytes);
      if (turn !== undefined) await turn;
    }
    return undelivered;
  }

  /** Logs deletions again, in a change set of the coordinator's. */
  #redeliver(undelivered: readonly UndeliveredTombstone[]): void {
    if (undelivered.length === 0) return;
    const { log } = this.#transaction;
    const position = log.nextPosition();
    const redelivered = redeliver(undelivered, position, this.#names);
    const changes = new ChangeListJson();
    const tables = new RunWriter();
    for (const { tableId, addTo } of redelivered) {
      addTo(changes);
      tables.add(tableId);
    }
    log.append({
      ...{ position, changes, migrations: [], tables: tables.toString() },
      siteId: this.#context.identity.siteIdText,
      transactionId: `deleted:${position}`,
      authors: authorsOf(redelivered.map(({ hlc }) => hlc)),
    });
  }
}

function toTable(bearer: TableRecord | 'void' | 'unknown'): TableRecord | undefined {
  return typeof bearer === 'string' ? undefined : bearer;
}

/** The site id that the log gives for a set: the sender's if only its own changes take effect. */
function siteOf({ siteId }: WireChangeSet, sender: Sender | undefined): SiteIdText {
  return sender === undefined || sender.foreignAuthors === 'accept' ? siteId : sender.siteId;
}
