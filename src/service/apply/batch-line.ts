/**
 * The batches of one client on their way into the store. A batch is held back while the client's
 * credentials have yet to be rechecked by the present hook modules, and stored again after that. A
 * held batch never delays other clients, and batches of one client keep their order.
 */

import type { ClientIdentity } from '../../hooks/types.ts';
import type { Reader } from '../access/rights.ts';

/** The batch is not to be stored yet. This error never reaches a client. */
export class OutdatedError extends Error {
  override readonly name = 'OutdatedError';

  constructor() {
    super('the credentials of the sender are yet to be looked at again');
  }
}

/** See `Admission`. */
interface PresentCredentials {
  /** Whether the present hook modules have accepted the identity. */
  isCurrent(identity: ClientIdentity): boolean;
}

export class BatchLine {
  readonly #client: Reader;
  readonly #credentials: PresentCredentials;
  #numbersGiven = 0;
  /** Numbers of the batches that were held back and are neither stored nor refused yet. */
  #held: Set<number> | undefined;
  /** Settles when the last of them is. */
  #tail: Promise<unknown> | undefined;

  constructor(client: Reader, credentials: PresentCredentials) {
    this.#client = client;
    this.#credentials = credentials;
  }

  /** The client's present identity. */
  who(): ClientIdentity {
    return this.#client.who();
  }

  /** @returns the number of a new batch */
  enter(): number {
    return ++this.#numbersGiven;
  }

  get isCurrent(): boolean {
    return this.#client.demandCurrent === undefined || this.#credentials.isCurrent(this.who());
  }

  /**
   * Resolves once the present hook modules have accepted the client. Throws as
   * `Reader.demandCurrent`.
   */
  async becomeCurrent(): Promise<void> {
    while (!this.isCurrent) await this.#client.demandCurrent?.();
  }

  /**
   * Called right before a batch is stored.
   * @throws OutdatedError when this batch, or an earlier one, has to wait
   */
  demandCurrent(number: number): void {
    if (this.isCurrent && ![...(this.#held ?? [])].some((held) => held < number)) return;
    this.#held ??= new Set();
    this.#held.add(number);
    throw new OutdatedError();
  }

  /**
   * Stores a batch that was held back, after those held back before it.
   * @param store throws OutdatedError if there was another reload meanwhile
   */
  async again<T>(number: number, store: () => Promise<T>): Promise<T> {
    const before = this.#tail;
    const stored = (async () => {
      await before;
      return this.#store(store);
    })();
    this.#tail = stored.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await stored;
    } finally {
      this.#held?.delete(number);
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
