/**
 * Lets other work run during a long transaction, after each stretch of about ten milliseconds.
 */

/** The changes of a stretch, or other work that takes as long. */
const STRETCH = 1000;
/** Statements of DDL, and names, that are read in the time of one change. */
export const READS_A_CHANGE = 8;
/** Bytes of a value that take as long as one change. */
const BYTES_A_CHANGE = 400;

export class Pace {
  readonly #yield: () => Promise<void>;
  #left = STRETCH;

  /** @param turn resolves when other work has had its turn */
  constructor(turn: () => Promise<void>) {
    this.#yield = turn;
  }

  /**
   * Reports work that has been done.
   * @param changes the number of changes, or of as much work as takes as long
   * @returns a promise for the caller to await, if the stretch has ended
   */
  did(changes: number, bytes = 0): Promise<void> | undefined {
    this.#left -= changes + bytes / BYTES_A_CHANGE;
    if (this.#left > 0) return undefined;
    this.#left = STRETCH;
    return this.#yield();
  }
}
