/**
 * Merges the change sets of one batch after the other, change by change: finds the table and row of
 * each change, decides whether it takes effect, and appends what does to the log.
 */

import { HLC_MAX, HLC_MIN, type HlcText, minHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import { authorsOf } from '../log/log-record.ts';
import { LogDraft } from '../log/log-writer.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, JsonNames } from '../records/change-json.ts';
import type { Identity } from '../records/head.ts';
import type { Pace } from '../records/pace.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { TableRecord } from '../records/table-record.ts';
import { type ChangeTarget, targetsOf } from '../tables/change-target.ts';
import { TargetFinder } from '../tables/table-names.ts';
import { type BatchOutcome, countUnapplied, type Elsewhere } from './batch.ts';
import type { Sender } from './foreign-authors.ts';
import { ForeignChanges } from './foreign-changes.ts';
import type { GroupReads } from './group-reads.ts';
import type { FullHolder } from './held-bound.ts';
import { createWinningBytes, LostCells, voidLossOf, type WinningBytes } from './lost-cells.ts';
import { Reverts } from './reverts.ts';
import { RowMerge, type RowMergeContext } from './row-merge.ts';
import { SetDdl, type SetDdlContext, type SetDdlParts } from './set-ddl.ts';
import {
  isTombstoneUndelivered,
  redeliver,
  type UndeliveredTombstone,
  type Writer,
} from './tombstone-redelivery.ts';

export interface SetMergeContext extends SetDdlContext, RowMergeContext {
  identity: Identity;
}

export interface SetMergeParts extends SetDdlParts {
  reads: GroupReads;
  pace: Pace;
}

/** The context in which the changes of one set are merged. */
interface Merging {
  /** One for each change. */
  targets: readonly (ChangeTarget | undefined)[];
  draft: LogDraft;
  result: BatchOutcome;
  sender: Sender | undefined;
  writer: Writer;
  /** Made for the first change that the sender may not send. */
  foreign(): ForeignChanges;
}

const NO_COLUMNS: readonly string[] = [];

export class SetMerge {
  readonly reverts: Reverts;
  readonly #context: SetMergeContext;
  readonly #parts: SetMergeParts;
  readonly #names = new JsonNames();
  readonly #rowMerge: RowMerge;
  /** Made for the first DDL. */
  #ddl: SetDdl | undefined;
  /** Of the group. */
  #winningBytes: WinningBytes | undefined;
  /** Of the batch that is being merged. */
  #lost: LostCells | undefined;

  constructor(parts: SetMergeParts, context: SetMergeContext) {
    const { transaction, pace } = parts;
    this.#context = context;
    this.#parts = parts;
    this.reverts = new Reverts(transaction, this.#names, context.identity, pace);
    this.#rowMerge = new RowMerge(context, this.#names, transaction.log);
  }

  /** @returns sites that have to start over since a table was emptied for the batch */
  endBatch(): FullHolder[] {
    this.#lost = undefined;
    return this.#ddl?.takeFull() ?? [];
  }

  /** @param answered for a set of the coordinator's: the site whose changes it answers */
  async merge(
    changeSet: WireChangeSet,
    result: BatchOutcome,
    sender?: Sender,
    answered?: SiteIdText,
  ): Promise<void> {
    const { transaction, reads, pace } = this.#parts;
    const { log, sites } = transaction;
    const draft = new LogDraft(log.nextPosition());
    const hasDdl = changeSet.schemaMigrations.length > 0;
    if (hasDdl) {
      this.#ddl ??= new SetDdl(this.#parts, this.#context);
      await this.#ddl.merge(changeSet, draft, result, sender);
    }
    const targets = await this.#targetsOf(changeSet, draft.position, sender);
    const loading = reads.loadRows(targets);
    if (loading !== undefined) await loading;
    const site = answered ?? siteOf(changeSet, sender);
    const snapshot = () => sites.snapshotOf(site);
    const writer = { isAnswer: answered !== undefined, snapshot };
    let foreign: ForeignChanges | undefined;
    const undelivered = await this.#mergeChanges(changeSet, {
      targets,
      draft,
      result,
      sender,
      writer,
      foreign: () => {
        foreign ??= new ForeignChanges(transaction.catalog, this.#context.identity, this.#rowMerge);
        return foreign;
      },
    });
    // Only what a site sent itself counts for its send progress, not what other sites send of it.
    if (sender !== undefined) {
      const newest = draft.newestOf(sender.siteId);
      if (newest !== undefined) sites.authored(sender.siteId, newest);
    }
    if (!draft.isEmpty) {
      const { transactionId } = changeSet;
      const { position, authors, changes, migrations } = draft;
      const tables = draft.tables.toString();
      const siteId = siteOf(changeSet, sender);
      const record = { position, siteId, transactionId, authors, tables, changes, migrations };
      const bytes = log.append(record);
      const turn = pace.did(1, bytes);
      if (turn !== undefined) await turn;
    }
    // Rows that were held for a dropped name are sent after the DDL that uses the name again.
    if (hasDdl) await this.#ddl?.emptyEnded(draft.position);
    if (undelivered.length > 0) this.#redeliver(undelivered);
  }

  /** Sends the site that made refused changes, and no other, what is stored instead. */
  async compensate(changeSet: WireChangeSet, site: SiteIdText): Promise<void> {
    const { transaction, reads, pace } = this.#parts;
    const targets = await this.knownTargetsOf(changeSet.changes);
    await transaction.sites.load([site]);
    const snapshot = () => transaction.sites.snapshotOf(site);
    const writer = { isAnswer: false, snapshot };
    const undelivered: UndeliveredTombstone[] = [];
    for (const [i, change] of changeSet.changes.entries()) {
      const target = targets[i];
      if (!target?.isLive) continue;
      const loaded = reads.rowOf(target);
      if (isTombstoneUndelivered(change, target, loaded.row, writer))
        undelivered.push({ target, loaded });
      else this.reverts.refused(change, target, loaded, site);
      const turn = pace.did(1);
      if (turn !== undefined) await turn;
    }
    if (undelivered.length > 0) this.#redeliver(undelivered);
  }

  get #lostCells(): LostCells {
    this.#winningBytes ??= createWinningBytes();
    this.#lost ??= new LostCells(this.#names, this.#winningBytes);
    return this.#lost;
  }

  /** The table and row of each change, which are read; an unknown name makes no table. */
  async knownTargetsOf(changes: readonly WireChange[]): Promise<(ChangeTarget | undefined)[]> {
    const { transaction, reads, pace } = this.#parts;
    const finder = new TargetFinder(transaction.catalog);
    const tableOf = (change: WireChange) => toTable(finder.find(change));
    const targets = await targetsOf(changes, this.#names, tableOf, pace);
    await reads.loadRows(targets);
    return targets;
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
    const { transaction, pace } = this.#parts;
    const { catalog } = transaction;
    const { hlcs } = this.#context.identity;
    const finder = new TargetFinder(catalog);
    const tableOf = (change: WireChange) => {
      const bearer = finder.find(change);
      if (bearer !== 'unknown' || sender?.isForeignOr(change, hlcs) === true)
        return toTable(bearer);
      const { schema, table } = change;
      return catalog.create({ schema, table, made: HLC_MIN, changed: position });
    };
    return targetsOf(changes, this.#names, tableOf, pace);
  }

  /** @returns deletions that the author may not have received */
  async #mergeChanges(
    changeSet: WireChangeSet,
    { targets, draft, result, sender, writer, foreign }: Merging,
  ): Promise<readonly UndeliveredTombstone[]> {
    const { changes } = changeSet;
    const { transaction, reads, pace } = this.#parts;
    const { floors, catalog } = transaction;
    const { hlcs } = this.#context.identity;
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
      const isForeign = sender?.isForeignOr(change, hlcs) === true;
      if (target === undefined) {
        const outcome = isForeign ? foreign().judgeVoid(change, sender) : 'skipped';
        countUnapplied(result, changeSet, change, outcome, voidLossOf(catalog, change));
        continue;
      }
      if (current?.target !== target) current = { target, loaded: reads.rowOf(target) };
      const { loaded } = current;
      if (!isForeign && !isWhereNamed(change, target))
        result.elsewhere.push(toElsewhere(change, target));
      const isDeletionOfHeld = change.type === 'delete' && floors.mayConcern(change.hlc);
      const columnsBefore = isDeletionOfHeld ? [...loaded.row.cells.keys()] : NO_COLUMNS;
      const outcome = isForeign
        ? foreign().judge(change, target, loaded, sender)
        : this.#rowMerge.merge(change, target, loaded, draft);
      if (outcome === 'applied') {
        result.applied++;
        loaded.changed = true;
        if (target.isLive) {
          draft.logged.add(change.hlc);
          draft.tables.add(target.table.id);
          if (this.reverts.mayConcern(change.hlc)) {
            this.reverts.applied({ change, columnsBefore }, target, loaded);
          }
        } else draft.held.add(change.hlc);
      } else {
        const loss = this.#rowMerge.lossOf(change, outcome, target, loaded, this.#lostCells);
        countUnapplied(result, changeSet, change, outcome, loss);
        if (outcome !== 'foreign' && isTombstoneUndelivered(change, target, loaded.row, writer)) {
          undelivered.push({ target, loaded });
        }
      }
      const turn = pace.did(1, draft.changes.lastBytes);
      if (turn !== undefined) await turn;
    }
    return undelivered;
  }

  /** Logs deletions again, in a change set of the coordinator's. */
  #redeliver(undelivered: readonly UndeliveredTombstone[]): void {
    const { log } = this.#parts.transaction;
    const position = log.nextPosition();
    const redelivered = redeliver(undelivered, position, this.#names);
    const changes = new ChangeListJson();
    const tables = new RunWriter();
    for (const { tableId, addTo } of redelivered) {
      addTo(changes);
      tables.add(tableId);
    }
    log.append({
      position,
      changes,
      migrations: [],
      tables: tables.toString(),
      siteId: this.#context.identity.siteIdText,
      transactionId: `deleted:${position}`,
      authors: authorsOf(redelivered.map(({ hlc }) => hlc)),
    });
  }
}

function isWhereNamed({ table }: WireChange, target: ChangeTarget): boolean {
  return target.isLive && target.table.table === table;
}

function toElsewhere(item: WireChange, { isLive, table }: ChangeTarget): Elsewhere {
  return { item, table: isLive ? table.table : undefined };
}

function toTable(bearer: TableRecord | 'void' | 'unknown'): TableRecord | undefined {
  return typeof bearer === 'string' ? undefined : bearer;
}

/** The site id that the log gives for a set: the sender's if only its own changes take effect. */
function siteOf({ siteId }: WireChangeSet, sender: Sender | undefined): SiteIdText {
  return sender === undefined || sender.foreignAuthors === 'accept' ? siteId : sender.siteId;
}
