/** Counts a client's requests without an answer, so that they can be bounded. */

export class InFlight {
  #size = 0;
  #onFewer: (() => void) | undefined;

  get size(): number {
    return this.#size;
  }

  async run(work: () => Promise<void>): Promise<void> {
    this.#size++;
    try {
      await work();
    } finally {
      this.#size--;
      this.#onFewer?.();
    }
  }

  /** Resolves when fewer than `limit` are under way. Only one caller may wait at a time. */
  async below(limit: number): Promise<void> {
    while (this.#size >= limit) {
      await new Promise<void>((resolve) => {
        this.#onFewer = resolve;
      });
    }
  }
}
