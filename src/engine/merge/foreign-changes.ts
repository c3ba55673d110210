/**
 * Decides about changes that the sender may not send: see `foreign-authors.ts`. None of them takes
 * effect.
 */

import type { HlcsOfSite } from '../../clock/site-id.ts';
import type { MergeOutcome } from '../../protocol/merge-rule.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { TargetRow } from '../tables/change-target.ts';
import { targetOf } from '../tables/table-names.ts';
import type { Sender } from './foreign-authors.ts';
import type { RowMerge } from './row-merge.ts';

/** The outcome of one change or migration. `foreign`: the sender may not send it. */
export type Outcome = MergeOutcome | 'foreign';

interface Judges {
  catalog: CatalogView;
  /** The coordinator's own. */
  hlcs: HlcsOfSite;
}

/** The outcome of a foreign change that has no table. */
export function judgeVoid(
  { schema, table, hlc }: WireChange,
  sender: Sender,
  { catalog, hlcs }: Judges,
): 'foreign' | 'skipped' {
  if (sender.foreignAuthors === 'refuse') return 'foreign';
  if (hlcs.has(hlc)) return 'skipped';
  return targetOf(catalog, schema, table, hlc) === 'void' ? 'skipped' : 'foreign';
}

/** The outcome of a foreign change: it is refused if it would take effect. */
export function judgeForeign(
  change: WireChange,
  { target: { table }, loaded }: TargetRow,
  sender: Sender,
  { catalog, hlcs, rowMerge }: Judges & { rowMerge: RowMerge },
): Outcome {
  if (sender.foreignAuthors === 'refuse') return 'foreign';
  const outcome = rowMerge.judge(change, loaded);
  if (outcome !== 'applied') return outcome;
  // The site pushes back a revert, which only it has received.
  if (hlcs.has(change.hlc)) return 'skipped';
  // It may be stored in a table whose rows have yet to move to this one.
  const [filling] = catalog.endedInto(table.id);
  return filling === undefined ? 'foreign' : 'skipped';
}
