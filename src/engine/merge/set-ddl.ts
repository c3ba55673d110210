/**
 * Merges the DDL of a change set, which may end tables: then these are emptied at once, as far as one
 * transaction may.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { LogDraft } from '../log/log-writer.ts';
import type { Pace } from '../records/pace.ts';
import { migrationToJson } from '../records/table-record.ts';
import { type BatchOutcome, countUnapplied } from './batch.ts';
import type { Sender } from './foreign-authors.ts';
import type { Outcome } from './foreign-changes.ts';
import type { FullHolder } from './held-bound.ts';
import { StepBudget } from './step-budget.ts';
import { isSent, type MergedMigration, mergeMigration, workOf } from './table-ddl.ts';
import { type EmptyingContext, emptySome } from './table-emptying.ts';
import type { CatalogBounds, WriteTransaction } from './write-transaction.ts';

export type SetDdlContext = EmptyingContext & CatalogBounds;

export interface SetDdlParts {
  transaction: WriteTransaction;
  pace: Pace;
}

/** After so many the catalog is looked at, that none of any size is made. */
const MIGRATIONS_TO_CHECK = 16;
/** The work that one batch may be: others who write to the database wait for it. */
const MIGRATIONS_MAX = 10_000;
const READ_MAX = 2_000_000;
/** Emptying a table takes as long as so many changes, beside those of its rows. */
const EMPTYING_WORK = 20;

const NO_WORK = { of: undefined, migrations: 0, read: 0 };

export class SetDdl {
  readonly #context: SetDdlContext;
  readonly #parts: SetDdlParts;
  /** What is emptied of dropped tables within this transaction. */
  readonly #budget: StepBudget;
  /** Sites that have to start over since a table was emptied. */
  #full: FullHolder[] = [];
  /** What the migrations of a batch have been so far. */
  #work: { of: BatchOutcome | undefined; migrations: number; read: number } = NO_WORK;

  constructor(parts: SetDdlParts, context: SetDdlContext) {
    this.#context = context;
    this.#parts = parts;
    this.#budget = new StepBudget(context);
  }

  async merge(
    changeSet: WireChangeSet,
    draft: LogDraft,
    result: BatchOutcome,
    sender: Sender | undefined,
  ): Promise<void> {
    const { transaction, pace } = this.#parts;
    for (const [i, migration] of changeSet.schemaMigrations.entries()) {
      if (i % MIGRATIONS_TO_CHECK === MIGRATIONS_TO_CHECK - 1) {
        transaction.refuseGrowth(this.#context);
      }
      const merged = this.#mergeOne(migration, draft, sender);
      this.#refuseMuch(result, merged.read);
      const { outcome } = merged;
      if (outcome === 'applied') result.applied++;
      else {
        const isKnown = outcome === 'skipped' && isSent(transaction.catalog, migration);
        const by = isKnown ? { by: migration.hlc } : {};
        countUnapplied(result, changeSet, migration, outcome, { ...merged.loss, ...by });
      }
      const turn = pace.did(workOf(merged));
      if (turn !== undefined) await turn;
    }
  }

  /** @throws SyncError TOO_LARGE if a batch is too much work */
  #refuseMuch(batch: BatchOutcome, read: number): void {
    if (this.#work.of !== batch) this.#work = { of: batch, migrations: 0, read: 0 };
    const work = this.#work;
    work.migrations++;
    work.read += read;
    if (work.migrations <= MIGRATIONS_MAX && work.read <= READ_MAX) return;
    const what =
      work.migrations > MIGRATIONS_MAX
        ? `${MIGRATIONS_MAX} migrations in one batch`
        : `${READ_MAX} names and statements to be read for the migrations of one batch`;
    const limit = 'limits.ddlBytesPerDatabase';
    throw new SyncError('TOO_LARGE', `more than ${what}: send them in parts`, { limit });
  }

  #mergeOne(
    migration: WireMigration,
    draft: LogDraft,
    sender: Sender | undefined,
  ): Pick<MergedMigration, 'read' | 'loss'> & { outcome: Outcome } {
    const { catalog, log } = this.#parts.transaction;
    if (sender?.isForeign(migration)) {
      if (sender.foreignAuthors === 'refuse') return { outcome: 'foreign', read: 0 };
      // It is only tried: the catalog does not even record it as known.
      const tried = mergeMigration(catalog.trial(), migration, draft.position);
      return tried.outcome === 'applied' ? { ...tried, outcome: 'foreign' } : tried;
    }
    const merged = mergeMigration(catalog, migration, draft.position);
    for (const sent of merged.sent) draft.addMigration(sent.hlc, migrationToJson(sent));
    if (merged.endsTables) log.noteEnded(draft.position);
    log.noteReplaced(merged.replaced);
    return merged;
  }

  /** Empties the tables that DDL dropped or replaced at a position, as far as the budget goes. */
  async emptyEnded(position: HlcText): Promise<void> {
    const { transaction, pace } = this.#parts;
    const { catalog } = transaction;
    for (const id of catalog.takeNewlyUnsettled()) {
      if (catalog.table(id)?.changed !== position) continue;
      const step = await emptySome(transaction, id, undefined, this.#budget, this.#context);
      this.#full.push(...step.full);
      const turn = pace.did(EMPTYING_WORK);
      if (turn !== undefined) await turn;
    }
  }

  /** @returns sites that have to start over since a table was emptied; each is given once */
  takeFull(): FullHolder[] {
    return this.#full.splice(0);
  }
}
