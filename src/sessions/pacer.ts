/** Keeps a peer from asking for more than so much in a second, evenly enough not to be noticed. */

const SLICE_MS = 5;

export class Pacer {
  readonly #sliceMs: number;
  readonly #perSlice: number;
  #taken = 0;
  #sliceStartMs = 0;

  constructor(perSecond: number) {
    this.#sliceMs = Math.max(SLICE_MS, 1000 / perSecond);
    this.#perSlice = Math.round((perSecond * this.#sliceMs) / 1000);
  }

  /**
   * Takes one. Who takes several without waiting waits for all of them afterwards.
   * @returns how many milliseconds to wait before the next; 0 for none
   */
  take(nowMs: number): number {
    const sinceMs = nowMs - this.#sliceStartMs;
    // Also after the clock was set back.
    if (sinceMs >= Math.max(1, this.#slices) * this.#sliceMs || sinceMs < 0) {
      this.#sliceStartMs = nowMs;
      this.#taken = 0;
    }
    this.#taken++;
    const slices = this.#slices;
    return slices === 0 ? 0 : this.#sliceStartMs + slices * this.#sliceMs - nowMs;
  }

  /** That what was taken fills. */
  get #slices(): number {
    return Math.floor(this.#taken / this.#perSlice);
  }
}
