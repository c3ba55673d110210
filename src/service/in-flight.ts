/** The requests of one client that are not answered yet, counted, so that they can be bounded. */

export class InFlight {
  #size = 0;
  #onFewer = () => {};

  get size(): number {
    return this.#size;
  }

  async run(work: () => Promise<void>): Promise<void> {
    this.#size++;
    try {
      await work();
    } finally {
      this.#size--;
      this.#onFewer();
    }
  }

  /** Resolves when fewer than `limit` are under way. For one at a time to wait for. */
  async below(limit: number): Promise<void> {
    while (this.#size >= limit) {
      await new Promise<void>((resolve) => {
        this.#onFewer = resolve;
      });
    }
  }
}
