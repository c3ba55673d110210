/**
 * Whether the storage can be used. It is asked on demand, one question at a time, and an answer is
 * given in time even if the storage gives none.
 */

import { SyncError, toSyncError } from '../../errors/sync-error.ts';
import type { Logger } from '../../logging/logger.ts';
import type { StorageFigures, StorageHealth } from '../../storage/kv-store.ts';

/** How long an answer is reused. */
const FRESH_MS = 250;
/** Less than the second that load balancers and Kubernetes wait. */
const ANSWER_MS = 900;

export interface StoreStatus extends StorageFigures {
  up: boolean;
  /** When this state was first seen, in milliseconds since 1970. */
  since: number;
  /** Why the storage is not up. */
  reason?: string;
}

export interface StoreWatchOptions {
  /** Without it the storage counts as up. */
  health: StorageHealth | undefined;
  /** Wall time in milliseconds. */
  now(): number;
  logger: Logger;
}

export class StoreWatch {
  readonly #options: StoreWatchOptions;
  #error: SyncError | undefined;
  #since: number;
  #isAsking = false;
  #freshUntil = 0;
  #answered: Promise<void> = Promise.resolve();

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.#since = options.now();
  }

  /** @returns why the storage cannot be used; `undefined` if it can. Never rejects. */
  async ask(): Promise<SyncError | undefined> {
    const { health } = this.#options;
    if (health === undefined) return undefined;
    // A storage that hangs is not asked again, since the questions would queue up.
    if (!this.#isAsking && performance.now() >= this.#freshUntil) this.#ask(health);
    await this.#answered;
    return this.#error;
  }

  /** As of the last `ask`; `undefined` if the storage does not report its health. */
  get status(): StoreStatus | undefined {
    const { health } = this.#options;
    if (health === undefined) return undefined;
    const reason = this.#error?.message;
    return { up: reason === undefined, since: this.#since, reason, ...health.figures() };
  }

  #ask(health: StorageHealth): void {
    this.#isAsking = true;
    const asked = Promise.resolve()
      .then(() => health.check())
      .then(
        () => this.#note(undefined),
        (error: unknown) =>
          this.#note(toSyncError(error, 'STORE_UNAVAILABLE', 'the store cannot be used')),
      )
      .finally(() => {
        clearTimeout(timer);
        this.#isAsking = false;
        this.#freshUntil = performance.now() + FRESH_MS;
      });
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#note(new SyncError('STORE_UNAVAILABLE', 'the store does not answer'));
        resolve();
      }, ANSWER_MS);
    });
    this.#answered = Promise.race([asked, overdue]);
  }

  #note(error: SyncError | undefined): void {
    const { logger, now } = this.#options;
    const was = this.#error;
    this.#error = error;
    if ((was === undefined) === (error === undefined)) return;
    this.#since = now();
    if (error === undefined) logger.warn('the store can be used again');
    else logger.error('the store cannot be used: %O', error.cause ?? error);
  }
}
