/**
 * The batches of one client that are on their way into the store, and whether its credentials have
 * been looked at by the hook modules that are in force. What is to be stored while they have not is held back, and tried
 * again when they have: by itself, so that nobody else waits with it, and in the order in which it was sent.
 */

import type { ClientIdentity } from '../hooks/types.ts';
import type { Reader } from './rights.ts';

/** Says that a batch is not to be stored yet. Never told to a client. */
export class OutdatedError extends Error {
  override readonly name = 'OutdatedError';

  constructor() {
    super('the credentials of the sender are yet to be looked at again');
  }
}

export class BatchLine {
  readonly #client: Reader;
  readonly #isCurrent: (identity: ClientIdentity) => boolean;
  #numbersGiven = 0;
  /** Of batches that were held back, until they have been stored or refused. */
  readonly #held = new Set<number>();
  /** Settles when all of them have been. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @param isCurrent whether the present hook modules have said who it is */
  constructor(client: Reader, isCurrent: (identity: ClientIdentity) => boolean) {
    this.#client = client;
    this.#isCurrent = isCurrent;
  }

  /** Who has sent them, as of now. */
  who(): ClientIdentity {
    return this.#client.who();
  }

  /** @returns the number of one more batch */
  enter(): number {
    return ++this.#numbersGiven;
  }

  get isCurrent(): boolean {
    return this.#client.demandCurrent === undefined || this.#isCurrent(this.who());
  }

  /** Resolves once the present hook modules have said who it is. Throws as `Reader.demandCurrent`. */
  async becomeCurrent(): Promise<void> {
    while (!this.isCurrent) await this.#client.demandCurrent?.();
  }

  /**
   * Asked right before a batch is stored.
   * @throws OutdatedError when it, or one that was sent before it, has to wait
   */
  demandCurrent(number: number): void {
    if (this.isCurrent && ![...this.#held].some((held) => held < number)) return;
    this.#held.add(number);
    throw new OutdatedError();
  }

  /**
   * Stores a batch that was held back, when its time has come.
   * @param store throws OutdatedError if there has been another reload meanwhile
   */
  async again<T>(number: number, store: () => Promise<T>): Promise<T> {
    const stored = this.#tail.then(() => this.#store(store));
    this.#tail = stored.catch(() => undefined);
    try {
      return await stored;
    } finally {
      this.#held.delete(number);
    }
  }

  async #store<T>(store: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.becomeCurrent();
      try {
        return await store();
      } catch (error) {
        if (!(error instanceof OutdatedError)) throw error;
      }
    }
  }
}
