/**
 * How long word of a commit takes: from this process's own commit until its own word of it comes
 * back. Both are read off one clock, so those of the nodes need not agree. What others wait beyond
 * that is their own way from PostgreSQL.
 */

export class NotificationLag {
  #lastMs: number | undefined;
  #awaitedSince: number | undefined;

  /** @param since when there was something to be told of */
  published(since: number): void {
    this.#awaitedSince ??= since;
  }

  received(): void {
    if (this.#awaitedSince === undefined) return;
    this.#lastMs = performance.now() - this.#awaitedSince;
    this.#awaitedSince = undefined;
  }

  /** It will not come any more. */
  lost(): void {
    this.#awaitedSince = undefined;
  }

  /** `undefined` before the first. Grows while word is overdue. */
  get ms(): number | undefined {
    if (this.#lastMs === undefined || this.#awaitedSince === undefined) return this.#lastMs;
    return Math.max(this.#lastMs, performance.now() - this.#awaitedSince);
  }
}
