/**
 * Lets others have their turn during the work of one transaction, however much one client has sent:
 * after about so much of it as takes some ten milliseconds.
 */

/** In changes, or what takes as long. */
const STRETCH = 1000;
/** So many bytes of a value take as long as a change. */
const BYTES_A_CHANGE = 400;

export class Pace {
  readonly #yield: () => Promise<void>;
  #left = STRETCH;

  /** @param turn resolves when others have had their turn */
  constructor(turn: () => Promise<void>) {
    this.#yield = turn;
  }

  /**
   * Some work has been done.
   * @param changes how many, or as many as take as long
   * @returns what is to be waited for, if others are waiting for long enough
   */
  did(changes: number, bytes = 0): Promise<void> | undefined {
    this.#left -= changes + bytes / BYTES_A_CHANGE;
    if (this.#left > 0) return undefined;
    this.#left = STRETCH;
    return this.#yield();
  }
}
