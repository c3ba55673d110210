/**
 * Merges the DDL of a change set, which may end tables: then these are emptied at once, as far as one
 * transaction may.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { LogDraft } from '../log/log-writer.ts';
import { migrationToJson } from '../records/table-record.ts';
import type { CatalogLimits } from '../tables/catalog-size.ts';
import { type BatchOutcome, countUnapplied } from './batch.ts';
import type { Sender } from './foreign-authors.ts';
import type { Outcome } from './foreign-changes.ts';
import type { FullHolder } from './held-bound.ts';
import { StepBudget } from './step-budget.ts';
import { isSent, mergeMigration } from './table-ddl.ts';
import { type EmptyingContext, emptySome } from './table-emptying.ts';
import type { WriteTransaction } from './write-transaction.ts';

export interface SetDdlContext extends EmptyingContext {
  catalogLimits: CatalogLimits;
}

export interface SetDdlParts {
  transaction: WriteTransaction;
  /** Lets other work run. */
  turn(): Promise<void>;
}

/** Migrations that are merged before other work of this process has its turn. */
const MIGRATIONS_AT_ONCE = 16;

export class SetDdl {
  readonly #context: SetDdlContext;
  readonly #parts: SetDdlParts;
  /** What is emptied of dropped tables within this transaction. */
  readonly #budget: StepBudget;
  /** Sites that have to start over since a table was emptied. */
  #full: FullHolder[] = [];

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
    for (const [i, migration] of changeSet.schemaMigrations.entries()) {
      // Each migration reads all that renames connect to it, so many of them may take long.
      if (i % MIGRATIONS_AT_ONCE === MIGRATIONS_AT_ONCE - 1) {
        this.#parts.transaction.refuseGrowth(this.#context.catalogLimits);
        await this.#parts.turn();
      }
      const outcome = this.#mergeOne(migration, draft, sender);
      if (outcome === 'applied') result.applied++;
      else {
        const isKnown = outcome === 'skipped' && isSent(this.#parts.transaction.catalog, migration);
        countUnapplied(result, changeSet, migration, outcome, isKnown ? { by: migration.hlc } : {});
      }
    }
  }

  #mergeOne(migration: WireMigration, draft: LogDraft, sender: Sender | undefined): Outcome {
    const { catalog, log } = this.#parts.transaction;
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
  async emptyEnded(position: HlcText): Promise<void> {
    const { transaction } = this.#parts;
    const { catalog } = transaction;
    const ended = [...catalog.unsettled()].filter(({ changed }) => changed === position);
    for (const { id } of ended) {
      if (this.#budget.isSpent) return;
      const step = await emptySome(transaction, id, undefined, this.#budget, this.#context);
      this.#full.push(...step.full);
    }
  }

  /** @returns sites that have to start over since a table was emptied; each is given once */
  takeFull(): FullHolder[] {
    return this.#full.splice(0);
  }
}
