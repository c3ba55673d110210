/** What the chain is told about a batch, before it is stored and afterwards. */

import type { HlcText } from '../../clock/hlc.ts';
import type { ApplyResult } from '../../protocol/types.ts';
import type { BatchReader } from '../reader.ts';
import type { CallOrigin, ChangeOutcome } from '../types.ts';
import type { ShownSets } from './shown-sets.ts';

/** The result of a batch. */
export interface ApplyOutcome {
  result: ApplyResult;
  /** See `AppliedCall`. */
  position?: HlcText | undefined;
  /** See `HookChain`. */
  origin?: CallOrigin;
  /** What `beforeApply` has shown. */
  shown?: ShownSets;
  /** Makes the outcomes of the `AppliedCall`, for each module anew. */
  outcomes?(): ChangeOutcome[];
}

export interface BeforeApplyOptions {
  signal?: AbortSignal | undefined;
  /** See `HookChain`. */
  origin?: CallOrigin;
  /** See `ApplyCall`. */
  isOtherName?: boolean;
  /** Gets what is shown, for `afterApply`. */
  shown?: ShownSets;
  /**
   * Makes the `read` of a call: each module has its own, with what it approves. Default: an empty
   * one.
   */
  reader?(): BatchReader;
}

/** For each module: the caller may send the result while a module still has it. */
export function copyResult(result: ApplyResult): ApplyResult {
  const { applied, skipped, conflicts, transactions, rejected, conflicting } = result;
  const copy: ApplyResult = { applied, skipped, conflicts, transactions };
  if (rejected !== undefined) copy.rejected = structuredClone(rejected);
  if (conflicting !== undefined) copy.conflicting = structuredClone(conflicting);
  return copy;
}
