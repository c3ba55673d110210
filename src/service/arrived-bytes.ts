/**
 * What has arrived on one socket and is not taken yet, whole messages and the part of one, within the budget
 * of all. Where there is no room the socket is read no further until there is. The first of it is
 * free, so that small messages never wait.
 */

import { SyncError, toSyncError } from '../errors.ts';
import type { ByteBudget } from './byte-budget.ts';

const STEP_BYTES = 64 * 1024;
/** With the mask that clients' frames have. */
const CONTROL_HEADER_BYTES = 6;

export interface ArrivedBytesOptions {
  budget: ByteBudget;
  /** Whose share it is held in from now on. */
  client(): string;
  /** How long a message may take to arrive whole, in milliseconds. */
  timeoutMs: number;
  pause(): void;
  /** There is room again. */
  resume(): void;
  /** There was none for too long: the socket is to be closed. */
  refuse(reason: SyncError): void;
}

export class ArrivedBytes {
  readonly #options: ArrivedBytesOptions;
  /** Of a message that is not whole. */
  #partBytes = 0;
  /** Of messages that nobody has taken. */
  #wholeBytes = 0;
  #heldBytes = 0;
  #heldFor = '';
  /** Of a message that is not whole, and no longer small. */
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;
  #isClosed = false;

  constructor(options: ArrivedBytesOptions) {
    this.#options = options;
  }

  /** Whether the socket is not to be read. */
  get isFull(): boolean {
    return this.#isWaiting;
  }

  /** Bytes have been read from the network; to be told before what they complete. */
  read(bytes: number): void {
    this.#partBytes += bytes;
    if (this.#partBytes >= STEP_BYTES && !this.#isClosed) this.#startTimer();
    this.#grow();
  }

  /** A message is whole. */
  completed(bytes: number): void {
    this.#partBytes = 0;
    this.#endPart();
    this.#wholeBytes += bytes;
    this.#grow();
    this.#shrink();
  }

  /** A frame has passed that is no part of a message: a ping or a pong, of so many bytes beside its header. */
  passed(bytes: number): void {
    this.#partBytes = Math.max(0, this.#partBytes - bytes - CONTROL_HEADER_BYTES);
    this.#shrink();
  }

  /** A message is being worked on. */
  taken(bytes: number): void {
    this.#wholeBytes -= bytes;
    this.#shrink();
  }

  close(): void {
    this.#isClosed = true;
    this.#endPart();
    this.#release(this.#heldBytes);
  }

  #endPart(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#options.budget.ended(this);
  }

  /** Who holds some of what all need must not hold it for ever. */
  #startTimer(): void {
    const { timeoutMs, refuse } = this.#options;
    const limit = 'limits.requestTimeoutMs';
    const message = `a message was not whole within ${limit} (${timeoutMs})`;
    this.#timer ??= setTimeout(() => {
      refuse(new SyncError('REQUEST_TIMEOUT', message, { limit }));
    }, timeoutMs).unref();
  }

  get #neededBytes(): number {
    const bytes = this.#partBytes + this.#wholeBytes;
    return Math.floor(bytes / STEP_BYTES) * STEP_BYTES;
  }

  #grow(): void {
    const more = this.#neededBytes - this.#heldBytes;
    if (more <= 0 || this.#isWaiting || this.#isClosed) return;
    const { budget, client, pause } = this.#options;
    if (this.#heldBytes === 0) this.#heldFor = client();
    const heldFor = this.#heldFor;
    const room = budget.take(heldFor, more, this.#heldBytes > 0 ? this : undefined);
    if (room === undefined) {
      this.#heldBytes += more;
      return;
    }
    this.#isWaiting = true;
    pause();
    room.then(
      () => this.#got(heldFor, more),
      (error: unknown) => {
        this.#isWaiting = false;
        if (!this.#isClosed) this.#options.refuse(toSyncError(error));
      },
    );
  }

  #got(heldFor: string, bytes: number): void {
    this.#isWaiting = false;
    if (this.#isClosed) {
      this.#options.budget.give(heldFor, bytes);
      return;
    }
    this.#heldBytes += bytes;
    this.#shrink();
    // More may have come meanwhile than was asked for.
    this.#grow();
    if (!this.#isWaiting) this.#options.resume();
  }

  #shrink(): void {
    // While it waits for more it may need what it has.
    if (!this.#isWaiting) this.#release(this.#heldBytes - this.#neededBytes);
  }

  #release(bytes: number): void {
    if (bytes <= 0) return;
    this.#heldBytes -= bytes;
    this.#options.budget.give(this.#heldFor, bytes);
  }
}
