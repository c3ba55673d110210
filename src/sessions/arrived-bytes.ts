/**
 * Counts the bytes that have arrived on one socket and are not taken yet, whole messages and the
 * part of one, in the budget that all sockets share. While there is no room the socket is not read.
 * Bytes below one step are not counted, so that small messages never wait; over all sockets they
 * add up to little.
 *
 * A part is counted as what `ws` holds of it: all pieces read since it began, and for each piece
 * and frame what the runtime needs beside their bytes. One in many frames that cost more than what is
 * in them is refused: `ws` takes each read apart at once, into several objects a frame, and what is
 * collected late would be many times what is counted.
 */

import { SyncError, toSyncError } from '../errors/sync-error.ts';
import type { ByteBudget } from '../service/budgets/byte-budget.ts';
import type { Holding } from '../service/budgets/holdings.ts';
import { FrameTally, TOO_TINY_FRAMES } from './frame-tally.ts';

const STEP_BYTES = 4 * 1024;
/** Memory for one piece, or one frame, beside its bytes; measured at 50 to 115. */
const PIECE_BYTES = 128;

/** Whose bytes they are. */
export interface ArrivedBytesOwner {
  /** The client whose share the bytes count in. */
  readonly holder: string;
  pause(): void;
  /** There is room again. */
  roomAgain(): void;
  /**
   * There was no room for too long, or a message took too long to arrive, or had to give way to
   * others: the socket is to be closed.
   */
  refuseUnread(reason: SyncError): void;
}

export class ArrivedBytes implements Holding {
  readonly #budget: ByteBudget;
  readonly #timeoutMs: number;
  readonly #owner: ArrivedBytesOwner;
  readonly #frames = new FrameTally();
  /** Bytes read since the present part began. */
  #partBytes = 0;
  #partPieces = 0;
  /** Bytes of whole messages that are not taken yet. */
  #wholeBytes = 0;
  /** Of the messages that arrived compressed those that have been inflated, as they arrived. */
  #inflatedFrom = 0;
  /** For the one that is being inflated. */
  #inflatingBytes = 0;
  /** Waits for room for that. */
  #expanded: (() => void) | undefined;
  #heldBytes = 0;
  #heldFor = '';
  #readBytes = 0;
  /** While anything is held. */
  #leave: (() => void) | undefined;
  /** Runs while a message has arrived in part. */
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;
  #isClosed = false;

  /** @param timeoutMs how long a message may take to arrive in full, in milliseconds */
  constructor(budget: ByteBudget, timeoutMs: number, owner: ArrivedBytesOwner) {
    this.#budget = budget;
    this.#timeoutMs = timeoutMs;
    this.#owner = owner;
  }

  /** Whether the socket must not be read. */
  get isFull(): boolean {
    return this.#isWaiting;
  }

  get client(): string {
    return this.#heldFor;
  }

  get bytes(): number {
    return this.#heldBytes;
  }

  moved(): number {
    return this.#readBytes;
  }

  get isAwaited(): boolean {
    return this.#partPieces > 0 && !this.#isWaiting;
  }

  giveWay(reason: SyncError): void {
    this.close();
    this.#owner.refuseUnread(reason);
  }

  /**
   * Bytes were read from the network. To be called before `completed` for the messages that they
   * end.
   */
  read(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#readBytes += bytes.length;
    const deflatedBefore = this.#frames.deflatedBytes;
    const ended = this.#frames.read(bytes);
    const deflated = this.#frames.deflatedBytes - deflatedBefore;
    this.#partBytes += bytes.length - deflated;
    this.#partPieces++;
    if (this.#frames.isTooTiny) {
      this.giveWay(new SyncError('MESSAGE_ERROR', TOO_TINY_FRAMES));
      return;
    }
    // First, while this object may still be the grower: a whole message must not wait for that.
    this.#grow();
    if (this.#isClosed) return;
    if (ended > 0 || !this.#frames.isOpen) this.#endPart();
    if (this.#frames.isOpen) this.#startPart(ended > 0 ? bytes.length : 0);
    // `completed` comes next, and needs what is held for the part; not of what is still to be inflated.
    if (ended === 0 || deflated > 0) this.#shrink();
  }

  /** A message has arrived in full. */
  completed(bytes: number): void {
    this.#wholeBytes += bytes;
    this.#grow();
    this.#shrink();
  }

  /** Resolves when there is room for so many more bytes of a message that is inflated, or after `close`. */
  async expand(bytes: number): Promise<void> {
    this.#inflatingBytes += bytes;
    this.#grow();
    while (this.#isWaiting && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#expanded = resolve;
      });
    }
  }

  /** A message that arrived as so many bytes has been inflated. `completed` comes next. */
  inflated(bytes: number): void {
    this.#inflatedFrom += bytes;
    this.#inflatingBytes = 0;
    if (!this.#frames.isOpen) this.#budget.ended(this);
  }

  /** The inbox has taken a message. */
  taken(bytes: number): void {
    this.#wholeBytes -= bytes;
    this.#shrink();
  }

  close(): void {
    this.#isClosed = true;
    this.#endPart();
    this.#release(this.#heldBytes);
    this.#expanded?.();
  }

  /** @param bytes of the piece in which the last message ended and this part may have begun */
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
    this.#budget.ended(this);
  }

  /** A part holds bytes of the shared budget, so it must not stay for ever. */
  #startTimer(): void {
    const limit = 'limits.requestTimeoutMs';
    const message = `a message was not whole within ${limit} (${this.#timeoutMs})`;
    this.#timer ??= setTimeout(() => {
      this.#owner.refuseUnread(new SyncError('REQUEST_TIMEOUT', message, { limit }));
    }, this.#timeoutMs).unref();
  }

  get #neededBytes(): number {
    const pieces = this.#partPieces + (this.#partPieces > 0 ? this.#frames.frames : 0);
    const deflated = this.#frames.deflatedBytes - this.#inflatedFrom + this.#inflatingBytes;
    const bytes = this.#partBytes + pieces * PIECE_BYTES + this.#wholeBytes + deflated;
    return Math.floor(bytes / STEP_BYTES) * STEP_BYTES;
  }

  #grow(): void {
    const more = this.#neededBytes - this.#heldBytes;
    if (more <= 0 || this.#isWaiting || this.#isClosed) return;
    if (this.#heldBytes === 0) this.#heldFor = this.#owner.holder;
    const heldFor = this.#heldFor;
    const room = this.#budget.take(heldFor, more, this.#heldBytes > 0 ? this : undefined);
    if (room === undefined) {
      this.#hold(more);
      return;
    }
    this.#isWaiting = true;
    this.#owner.pause();
    room.then(
      () => this.#got(heldFor, more),
      (error: unknown) => {
        this.#isWaiting = false;
        if (!this.#isClosed) this.#owner.refuseUnread(toSyncError(error));
      },
    );
  }

  #got(heldFor: string, bytes: number): void {
    this.#isWaiting = false;
    if (this.#isClosed) {
      // It may have been its turn to exceed the bounds.
      this.#budget.ended(this);
      this.#budget.give(heldFor, bytes);
      return;
    }
    this.#hold(bytes);
    this.#shrink();
    // More may have arrived than was asked for.
    this.#grow();
    if (this.#isWaiting) return;
    this.#expanded?.();
    this.#owner.roomAgain();
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#leave ??= this.#budget.watch(this);
  }

  #shrink(): void {
    // A pending request assumes that what is held stays held.
    if (!this.#isWaiting) this.#release(this.#heldBytes - this.#neededBytes);
  }

  #release(bytes: number): void {
    if (bytes <= 0) return;
    this.#heldBytes -= bytes;
    if (this.#heldBytes === 0) {
      this.#leave?.();
      this.#leave = undefined;
    }
    this.#budget.give(this.#heldFor, bytes);
  }
}
