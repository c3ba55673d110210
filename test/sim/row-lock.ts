/** The lock of one database: who comes first has it first, until its connection lets go or ends. */

interface Waiting {
  holder: object;
  grant: () => void;
}

export class RowLock {
  readonly #waiting: Waiting[] = [];

  /** @param grant called when `holder` has it, and all others have not */
  take(holder: object, grant: () => void): void {
    this.#waiting.push({ holder, grant });
    if (this.#waiting.length === 1) grant();
  }

  /** Gives it back, or waits for it no longer. */
  leave(holder: object): void {
    const at = this.#waiting.findIndex((waiting) => waiting.holder === holder);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    if (at === 0) this.#waiting[0]?.grant();
  }
}
