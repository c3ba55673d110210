/** How much one step of emptying a table reads, and tells single sites. */

import { keysAtOnce, type RowAddress } from '../records/row-set.ts';
import { REVERT_BYTES_MAX, type RevertBudget } from './reverts.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** Rows that a step reads. */
export const STEP_ROWS_MAX = 100;
export const STEP_BYTES_MAX = 256 * 1024;
/** Bytes of rows that a step reads in the table to which its rows move. Those may be longer. */
const STEP_BYTES_THERE_MAX = 4 * 1024 * 1024;

/** What a transaction may still read. */
export class StepBudget {
  rows: number;
  bytes = STEP_BYTES_MAX;
  /** What it may still tell single sites in reverts. */
  readonly reverts: RevertBudget = { bytes: REVERT_BYTES_MAX };
  bytesThere = STEP_BYTES_THERE_MAX;

  /** @param stepRows rows that a step reads */
  constructor({ stepRows }: { stepRows: number }) {
    this.rows = stepRows;
  }

  get isSpent(): boolean {
    return this.rows <= 0 || this.bytes <= 0 || this.bytesThere <= 0;
  }
}

/**
 * Reads the rows to which others move, few at once where there are long ones, until the step has
 * read enough. Each step gets on.
 * @returns how many of them were read
 */
export async function loadThere(
  { rows, head }: WriteTransaction,
  addresses: readonly RowAddress[],
  budget: StepBudget,
): Promise<number> {
  const atOnce = keysAtOnce(head.longestRow);
  let loaded = 0;
  while (loaded < addresses.length && (loaded === 0 || budget.bytesThere > 0)) {
    const some = addresses.slice(loaded, loaded + atOnce);
    await rows.load(some);
    for (const address of some) budget.bytesThere -= rows.get(address)?.size ?? 0;
    loaded += some.length;
  }
  return loaded;
}
