/**
 * Decides about changes that the sender may not send: see `foreign-authors.ts`. None of them takes
 * effect.
 */

import type { HlcsOfSite } from '../../clock/site-id.ts';
import type { MergeOutcome } from '../../protocol/merge-rule.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import type { Identity } from '../records/head.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { ChangeTarget } from '../tables/change-target.ts';
import { targetOf } from '../tables/table-names.ts';
import type { Sender } from './foreign-authors.ts';
import type { RowMerge } from './row-merge.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** The outcome of one change or migration. `foreign`: the sender may not send it. */
export type Outcome = MergeOutcome | 'foreign';

export class ForeignChanges {
  readonly #transaction: Pick<WriteTransaction, 'catalog'>;
  readonly #coordinator: HlcsOfSite;
  readonly #rowMerge: RowMerge;

  constructor(
    transaction: Pick<WriteTransaction, 'catalog'>,
    { hlcs }: Pick<Identity, 'hlcs'>,
    rowMerge: RowMerge,
  ) {
    this.#transaction = transaction;
    this.#coordinator = hlcs;
    this.#rowMerge = rowMerge;
  }

  /** The outcome of a foreign change that has no table. */
  judgeVoid(change: WireChange, sender: Sender): 'foreign' | 'skipped' {
    if (sender.foreignAuthors === 'refuse') return 'foreign';
    if (this.#isOwn(change)) return 'skipped';
    const { schema, table, hlc } = change;
    const isVoid = targetOf(this.#transaction.catalog, schema, table, hlc) === 'void';
    return isVoid ? 'skipped' : 'foreign';
  }

  /** The outcome of a foreign change: it is refused if it would take effect. */
  judge(change: WireChange, { table }: ChangeTarget, loaded: LoadedRow, sender: Sender): Outcome {
    if (sender.foreignAuthors === 'refuse') return 'foreign';
    const outcome = this.#rowMerge.judge(change, loaded);
    if (outcome !== 'applied') return outcome;
    // The site pushes back a revert, which only it has received.
    if (this.#isOwn(change)) return 'skipped';
    // It may be stored in a table whose rows have yet to move to this one.
    const [filling] = this.#transaction.catalog.endedInto(table.id);
    return filling === undefined ? 'foreign' : 'skipped';
  }

  #isOwn({ hlc }: WireChange): boolean {
    return this.#coordinator.has(hlc);
  }
}
