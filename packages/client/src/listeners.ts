/**
 * Who is called when something changes. What one of them throws is told where uncaught errors are told:
 * the others are called, and what has changed goes on.
 */
export class Listeners {
  readonly #all = new Set<() => void>();

  /** @returns ends it */
  add(listener: () => void): () => void {
    this.#all.add(listener);
    return () => this.#all.delete(listener);
  }

  notify(): void {
    for (const listener of [...this.#all]) {
      try {
        listener();
      } catch (error) {
        void Promise.reject(error);
      }
    }
  }
}
