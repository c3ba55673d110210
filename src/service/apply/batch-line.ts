/**
 * The batches of one client on their way into the store. A batch is held back while the client's
 * credentials have yet to be rechecked by the present hook modules, and stored again after that. A
 * held batch never delays other clients, and batches of one client keep their order.
 */

import type { Clients } from '../access/clients.ts';
import type { Reader } from '../access/rights.ts';

/** The batch is not to be stored yet. This error never reaches a client. */
export class OutdatedError extends Error {
  override readonly name = 'OutdatedError';

  constructor() {
    super('the credentials of the sender are yet to be looked at again');
  }
}

const NOTHING_HELD = Promise.resolve();

export class BatchLine {
  /** The client. */
  readonly reader: Reader;
  readonly #clients: Pick<Clients, 'isCurrent' | 'refuseExpired'>;
  #numbersGiven = 0;
  /** Numbers of the batches that were held back and are neither stored nor refused yet. */
  #held: Set<number> | undefined;
  /** Settles when the last of them is. */
  #tail: Promise<unknown> = NOTHING_HELD;

  constructor(reader: Reader, clients: Pick<Clients, 'isCurrent' | 'refuseExpired'>) {
    this.reader = reader;
    this.#clients = clients;
  }

  /** @returns the number of a new batch */
  enter(): number {
    return ++this.#numbersGiven;
  }

  get isCurrent(): boolean {
    return this.reader.demandCurrent === undefined || this.#clients.isCurrent(this.reader.who());
  }

  /**
   * Resolves once the present hook modules have accepted the client. Throws as
   * `Reader.demandCurrent`.
   */
  async becomeCurrent(): Promise<void> {
    while (!this.isCurrent) await this.reader.demandCurrent?.();
  }

  /**
   * Called right before a batch is stored.
   * @throws SyncError AUTH_EXPIRED
   * @throws OutdatedError when this batch, or an earlier one, has to wait
   */
  admit(number: number): void {
    this.#clients.refuseExpired(this.reader.who());
    if (this.isCurrent && !this.#isBehindHeld(number)) return;
    this.#held ??= new Set();
    this.#held.add(number);
    throw new OutdatedError();
  }

  #isBehindHeld(number: number): boolean {
    for (const held of this.#held ?? []) if (held < number) return true;
    return false;
  }

  /**
   * Stores a batch that was held back, after those held back before it.
   * @param store throws OutdatedError if there was another reload meanwhile
   */
  async again<T>(number: number, store: () => Promise<T>): Promise<T> {
    const stored = this.#tail.then(() => this.#store(store));
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
