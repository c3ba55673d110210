/** How much one step looks at of what is gone through beside the writers. */

/** A step looks at so many rows. */
export const STEP_ROWS_MAX = 100;
export const STEP_BYTES_MAX = 256 * 1024;

/** What may still be looked at in a transaction. */
export class StepBudget {
  rows: number;
  bytes = STEP_BYTES_MAX;

  /** @param stepRows rows that a step looks at */
  constructor({ stepRows }: { stepRows: number }) {
    this.rows = stepRows;
  }

  get isSpent(): boolean {
    return this.rows <= 0 || this.bytes <= 0;
  }
}
