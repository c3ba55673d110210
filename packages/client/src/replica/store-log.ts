/**
 * Writes a replica's operations to its store, one batch after the other: those that come while the
 * store is busy go together in the next one. What the store can't take is tried again, in order, and
 * nothing behind it is written before.
 */

import type { Environment } from '../environment.ts';
import { type ClientStore, StoreError, type StoreOperation } from '../stores/store.ts';

interface Batch {
  operations: StoreOperation[];
  durable: Promise<void>;
  resolve(): void;
}

const AGAIN_MS = [250, 1_000, 5_000];

export class StoreLog {
  readonly #store: ClientStore;
  readonly #environment: Environment;
  readonly #onFault: (fault: StoreError | undefined) => void;
  #next: Batch | undefined;
  #running: Promise<void> | undefined;
  #isClosed = false;

  /** @param onFault told when the store can't be written, and with `undefined` when it can again */
  constructor(
    store: ClientStore,
    environment: Environment,
    onFault: (fault: StoreError | undefined) => void,
  ) {
    this.#store = store;
    this.#environment = environment;
    this.#onFault = onFault;
  }

  /** Resolves when the operations are durable, which may be never. */
  write(operations: readonly StoreOperation[]): Promise<void> {
    this.#next ??= createBatch();
    for (const operation of operations) this.#next.operations.push(operation);
    const { durable } = this.#next;
    this.#running ??= this.#run();
    return durable;
  }

  async #run(): Promise<void> {
    // Writes of one turn of the loop go together.
    await Promise.resolve();
    for (;;) {
      const batch = this.#next;
      this.#next = undefined;
      if (batch === undefined) break;
      if (!(await this.#commit(batch))) return;
      batch.resolve();
    }
    this.#running = undefined;
  }

  /** @returns whether it is durable; not if the log was closed before it could be */
  async #commit({ operations }: Batch): Promise<boolean> {
    for (let tries = 0; ; tries++) {
      try {
        await this.#store.commit(operations);
        if (tries > 0) this.#onFault(undefined);
        return true;
      } catch (cause) {
        if (this.#isClosed) return false;
        this.#onFault(toStoreError(cause));
        const pause = AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)] ?? 0;
        await new Promise<void>((resolve) => this.#environment.after(pause, resolve));
        if (this.#isClosed) return false;
      }
    }
  }

  /** Ends once what was written is durable, or can't be at the moment. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    await this.#store.close();
  }
}

function createBatch(): Batch {
  let resolve = () => {};
  const durable = new Promise<void>((done) => {
    resolve = done;
  });
  return { operations: [], durable, resolve };
}

function toStoreError(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new StoreError('STORE_UNAVAILABLE', message, { cause });
}
