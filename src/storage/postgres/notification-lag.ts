/**
 * Measures the lag of notifications: the time from a commit of this process until its own
 * notification comes back. Both are times of one clock, so the clocks of the nodes need not agree.
 * Other nodes may wait longer if their network to PostgreSQL is slower.
 */

export class NotificationLag {
  #lastMs: number | undefined;
  #awaitedSince: number | undefined;

  /** @param since when the commit was made */
  published(since: number): void {
    this.#awaitedSince ??= since;
  }

  received(): void {
    if (this.#awaitedSince === undefined) return;
    this.#lastMs = performance.now() - this.#awaitedSince;
    this.#awaitedSince = undefined;
  }

  /** The awaited notification will not come. */
  lost(): void {
    this.#awaitedSince = undefined;
  }

  /** `undefined` before the first notification. Grows while one is overdue. */
  get ms(): number | undefined {
    if (this.#lastMs === undefined || this.#awaitedSince === undefined) return this.#lastMs;
    return Math.max(this.#lastMs, performance.now() - this.#awaitedSince);
  }
}
