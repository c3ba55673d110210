/** The work that a stop waits for, up to a deadline. */

import { isClientGone } from '../../errors/client-gone.ts';
import { SyncError } from '../../errors/sync-error.ts';

export class WorkUnderWay {
  #running = 0;
  #whenIdle: (() => void)[] = [];
  #isStopping = false;
  /** A stop has waited for as long as it may: what is under way is to be given up. */
  #isOverdue = false;

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** @throws SyncError SHUTTING_DOWN once a stop has begun */
  refuseWhileStopping(): void {
    if (this.#isStopping) throw stopping();
  }

  /**
   * @param signal aborted when the sender of a batch has gone
   * @throws SyncError SHUTTING_DOWN once a stop is overdue, or APPLY_CHANGES_ERROR
   */
  refuseLate(signal: AbortSignal | undefined): void {
    if (this.#isOverdue) throw stopping();
    if (signal?.aborted !== true) return;
    const { reason: cause } = signal;
    const text = 'the sender has gone before they were stored';
    throw new SyncError('APPLY_CHANGES_ERROR', text, isClientGone(cause) ? { cause } : {});
  }

  /** To be called once for each `ended`. */
  begun(): void {
    this.#running++;
  }

  ended(): void {
    if (--this.#running > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Begins a stop, and waits for what is under way, up to `deadlineMs`. */
  async settle(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    if (this.#running === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#isOverdue = true;
        resolve();
      }, deadlineMs);
    });
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve);
    });
    await Promise.race([idle, deadline]);
    clearTimeout(timer);
    // The answers to what has just ended are sent by the end of this turn.
    await new Promise(setImmediate);
  }
}

function stopping(): SyncError {
  return new SyncError('SHUTTING_DOWN', 'the server is stopping');
}
