/**
 * What has arrived on one socket and is not taken yet, whole messages and the part of one, within the budget
 * of all. Where there is no room the socket is read no further until there is. The first of it is
 * free, so that small messages never wait: on as many sockets as there may be it adds up to little.
 *
 * A part is counted as what `ws` keeps of it: every piece that was read since it began, and for each piece
 * and frame what the runtime needs beside their bytes.
 */

import { SyncError, toSyncError } from '../errors/sync-error.ts';
import type { ByteBudget } from '../service/byte-budget.ts';
import { FrameTally } from './frame-tally.ts';

const STEP_BYTES = 4 * 1024;
/** Of one piece, or one frame, beside its bytes; measured at 50 to 115. */
const PIECE_BYTES = 128;

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
  readonly #frames = new FrameTally();
  /** Read since what is not whole began. */
  #partBytes = 0;
  #partPieces = 0;
  /** Of messages that nobody has taken. */
  #wholeBytes = 0;
  #heldBytes = 0;
  #heldFor = '';
  /** For what is not whole. */
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
  read(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const ended = this.#frames.read(bytes);
    this.#partBytes += bytes.length;
    this.#partPieces++;
    // First, while it may still take more than there is: what is whole must not wait for that.
    this.#grow();
    if (ended > 0 || !this.#frames.isOpen) this.#endPart();
    if (this.#frames.isOpen) this.#startPart(ended > 0 ? bytes.length : 0);
    // What has become whole is told next, and needs what was held for its part.
    if (ended === 0) this.#shrink();
  }

  /** A message is whole. */
  completed(bytes: number): void {
    this.#wholeBytes += bytes;
    this.#grow();
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

  /** @param bytes that it may have of a piece in which another ended */
  #startPart(bytes: number): void {
    this.#partBytes += bytes;
    if (bytes > 0) this.#partPieces++;
    this.#startTimer();
  }

  #endPart(): void {
    this.#partBytes = 0;
    this.#partPieces = 0;
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
    const pieces = this.#partPieces + (this.#partPieces > 0 ? this.#frames.frames : 0);
    const bytes = this.#partBytes + pieces * PIECE_BYTES + this.#wholeBytes;
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
