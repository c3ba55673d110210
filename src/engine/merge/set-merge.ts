/**
 * Merges the change sets of one batch after the other, change by change: finds the table and row of
 * each change, decides whether it takes effect, and appends what does to the log.
 */

import { HLC_MIN } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import { LogDraft } from '../log/log-writer.ts';
import type { ChangeTarget, TargetRow } from '../tables/change-target.ts';
import { type BatchOutcome, countUnapplied, type Elsewhere } from './batch.ts';
import type { Sender } from './foreign-authors.ts';
import { judgeForeign, judgeVoid } from './foreign-changes.ts';
import type { GroupReads } from './group-reads.ts';
import { voidLossOf } from './lost-cells.ts';
import { Reverts } from './reverts.ts';
import { RowMerge, type RowMergeContext } from './row-merge.ts';
import { SetDdl, type SetDdlContext, type SetDdlParts } from './set-ddl.ts';
import { isTombstoneUndelivered, redeliver, type Writer } from './tombstone-redelivery.ts';

export interface SetMergeContext extends SetDdlContext, RowMergeContext {}

export interface SetMergeParts extends SetDdlParts {
  reads: GroupReads;
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

export class SetMerge {
  readonly reverts: Reverts;
  readonly #context: SetMergeContext;
  readonly #parts: SetMergeParts;
  readonly #rowMerge: RowMerge;
  /** Made for the first DDL. */
  #ddl: SetDdl | undefined;

  constructor(parts: SetMergeParts, context: SetMergeContext) {
    const { transaction, reads, pace } = parts;
    const { identity } = context;
    this.#context = context;
    this.#parts = parts;
    this.reverts = new Reverts(transaction, reads.names, identity, pace);
    this.#rowMerge = new RowMerge(context, reads.names, transaction.log);
  }

  /** @returns sites that have to start over since a table was emptied for the batch */
  endBatch() {
    this.#rowMerge.endBatch();
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
    const targets = await this.#targetsOf(changeSet, draft, sender);
    const loading = reads.loadRows(targets);
    if (loading !== undefined) await loading;
    const site = answered ?? siteOf(changeSet, sender);
    const snapshot = () => sites.snapshotOf(site);
    const writer = { isAnswer: answered !== undefined, snapshot };
    const merging = { targets, draft, result, sender, writer };
    const undelivered = await this.#mergeChanges(changeSet, merging);
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
    this.#redeliver(undelivered);
  }

  /** Sends the site that made refused changes, and no other, what is stored instead. */
  async compensate(changeSet: WireChangeSet, site: SiteIdText): Promise<void> {
    const { transaction, reads, pace } = this.#parts;
    const targets = await reads.loadedTargetsOf(changeSet.changes);
    await transaction.sites.load([site]);
    const snapshot = () => transaction.sites.snapshotOf(site);
    const writer = { isAnswer: false, snapshot };
    const undelivered: TargetRow[] = [];
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
    this.#redeliver(undelivered);
  }

  /**
   * The table and row of each change. A change to an unknown name makes a table: there is no row,
   * so it takes effect. A foreign change makes none.
   */
  #targetsOf({ changes }: WireChangeSet, { position }: LogDraft, sender: Sender | undefined) {
    const { transaction, reads } = this.#parts;
    const { hlcs } = this.#context.identity;
    return reads.targetsOf(changes, (change) => {
      if (sender?.isForeignOr(change, hlcs) === true) return undefined;
      const { schema, table } = change;
      return transaction.catalog.create({ schema, table, made: HLC_MIN, changed: position });
    });
  }

  /** @returns deletions that the author may not have received */
  async #mergeChanges(
    changeSet: WireChangeSet,
    { targets, draft, result, sender, writer }: Merging,
  ): Promise<readonly TargetRow[]> {
    const { changes } = changeSet;
    const { transaction, reads, pace } = this.#parts;
    const { floors, catalog } = transaction;
    const { hlcs } = this.#context.identity;
    const loading = floors.loadFor(changes);
    if (loading !== undefined) await loading;
    const undelivered: TargetRow[] = [];
    let current: TargetRow | undefined;
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i] as WireChange;
      const target = targets[i];
      const isForeign = sender?.isForeignOr(change, hlcs) === true;
      if (target === undefined) {
        const outcome = isForeign ? judgeVoid(change, sender, { catalog, hlcs }) : 'skipped';
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
        ? judgeForeign(change, current, sender, { catalog, hlcs, rowMerge: this.#rowMerge })
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
        const loss = this.#rowMerge.lossOf(change, outcome, target, loaded);
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

  #redeliver(undelivered: readonly TargetRow[]): void {
    if (undelivered.length === 0) return;
    const { transaction, reads } = this.#parts;
    redeliver(undelivered, transaction.log, reads.names, this.#context.identity.siteIdText);
  }
}

function isWhereNamed({ table }: WireChange, target: ChangeTarget): boolean {
  return target.isLive && target.table.table === table;
}

function toElsewhere(item: WireChange, { isLive, table }: ChangeTarget): Elsewhere {
  return { item, table: isLive ? table.table : undefined };
}

/** The site id that the log gives for a set: the sender's if only its own changes take effect. */
function siteOf({ siteId }: WireChangeSet, sender: Sender | undefined): SiteIdText {
  return sender === undefined || sender.foreignAuthors === 'accept' ? siteId : sender.siteId;
}
