/** Changes that are not the sender's to bring: what becomes of them. None of them ever takes effect. */

import type { HlcText } from '../../clock/hlc.ts';
import { isOfSameSite } from '../../clock/site-id.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import type { MergeOutcome } from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { TableRecord } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { ChangeTarget } from '../tables/change-target.ts';
import { successorOf, TargetFinder } from '../tables/table-names.ts';
import type { Sender } from './foreign-authors.ts';
import type { RowMerge } from './row-merge.ts';

/** What became of one change or migration: `foreign` where it was not the sender's to bring. */
export type Outcome = MergeOutcome | 'foreign';

export class ForeignChanges {
  readonly #catalog: () => CatalogView;
  /** An HLC of the coordinator's. */
  readonly #coordinator: HlcText;
  readonly #rowMerge: RowMerge;
  /** See `#tablesBeingFilled`; worked out where it matters, for one change set. */
  #beingFilled: ReadonlySet<number> | undefined;

  constructor(catalog: () => CatalogView, coordinator: HlcText, rowMerge: RowMerge) {
    this.#catalog = catalog;
    this.#coordinator = coordinator;
    this.#rowMerge = rowMerge;
  }

  /** Another change set comes, before which the catalog may have changed. */
  begin(): void {
    this.#beingFilled = undefined;
  }

  /** What the coordinator has dated is nobody else's to bring, whatever they may relay. */
  has(change: WireChange, sender: Sender): boolean {
    return sender.isForeignOr(change, this.#coordinator);
  }

  /** One that goes to no table. */
  judgeVoid(change: WireChange, sender: Sender): 'foreign' | 'skipped' {
    if (sender.foreignAuthors === 'refuse') return 'foreign';
    if (this.#isOwn(change)) return 'skipped';
    return new TargetFinder(this.#catalog()).find(change) === 'void' ? 'skipped' : 'foreign';
  }

  /** What would take effect is refused. */
  judge(change: WireChange, { table }: ChangeTarget, loaded: LoadedRow, sender: Sender): Outcome {
    if (sender.foreignAuthors === 'refuse') return 'foreign';
    const outcome = this.#rowMerge.judge(change, loaded);
    if (outcome !== 'applied') return outcome;
    // A site pushes back what it alone was told, in the place of something that was refused.
    if (this.#isOwn(change)) return 'skipped';
    // It may be stored where it has yet to be moved from.
    this.#beingFilled ??= this.#tablesBeingFilled();
    return this.#beingFilled.has(table.id) ? 'skipped' : 'foreign';
  }

  #isOwn({ hlc }: WireChange): boolean {
    return isOfSameSite(hlc, this.#coordinator);
  }

  /** The tables to which rows of others, that have ended, are still on their way. */
  #tablesBeingFilled(): ReadonlySet<number> {
    const catalog = this.#catalog();
    const ids = new Set<number>();
    for (const ended of catalog.unsettled()) {
      let next: TableRecord | undefined = ended;
      for (let steps = 0; next?.into !== undefined; steps++) {
        next = successorOf(catalog, next, steps);
        if (next !== undefined) ids.add(next.id);
      }
    }
    return ids;
  }
}
