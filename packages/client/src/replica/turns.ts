/** Work on the store that must not overlap: one after the other, and each again until it succeeds. */

import type { Environment } from '../environment.ts';
import { type StoreError, toStoreError } from '../stores/store.ts';

/** What failed is tried again after so long. */
const AGAIN_MS = 1_000;

export class Turns {
  readonly #environment: Environment;
  readonly #fault: (fault: StoreError | undefined) => void;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** @param fault told of what failed; with `undefined`, that it did not fail again */
  constructor(environment: Environment, fault: (fault: StoreError | undefined) => void) {
    this.#environment = environment;
    this.#fault = fault;
  }

  /** @param failed told of each failure, before the next try */
  add(run: () => Promise<void>, failed?: (fault: StoreError) => void): void {
    this.#last = this.#last.then(() => this.#insist(run, failed));
  }

  async #insist(run: () => Promise<void>, failed?: (fault: StoreError) => void): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await run();
        if (tries > 0) this.#fault(undefined);
        return;
      } catch (cause) {
        const fault = toStoreError(cause);
        failed?.(fault);
        if (this.#isClosed) return;
        this.#fault(fault);
        await new Promise<void>((resolve) => this.#environment.after(AGAIN_MS, resolve));
      }
    }
  }

  /** Nothing is tried again. */
  close(): void {
    this.#isClosed = true;
  }
}
