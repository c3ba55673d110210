/** How much one step of emptying a table reads, and tells single sites. */

import { REVERT_BYTES_MAX, type RevertBudget } from './reverts.ts';

/** Rows that a step reads. */
export const STEP_ROWS_MAX = 100;
export const STEP_BYTES_MAX = 256 * 1024;

/** What a transaction may still read. */
export class StepBudget {
  rows: number;
  bytes = STEP_BYTES_MAX;
  /** What it may still tell single sites in reverts. */
  readonly reverts: RevertBudget = { bytes: REVERT_BYTES_MAX };

  /** @param stepRows rows that a step reads */
  constructor({ stepRows }: { stepRows: number }) {
    this.rows = stepRows;
  }

  get isSpent(): boolean {
    return this.rows <= 0 || this.bytes <= 0;
  }
}
