/**
 * The send queue of a `ws` socket.
 *
 * It hands only a small window to the socket at a time, and sends large messages in fragments of
 * it. So the progress of a slow peer can be seen, and what the peer never takes is cheap to drop.
 */

import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { startGrace } from '../service/admission/grace.ts';
import type { SharedMessage } from '../service/delivery/announcement.ts';
import { type Frame, frameBytes } from '../service/delivery/frames.ts';
import { Fragments } from './fragments.ts';
import { Pongs } from './pongs.ts';
import type { SendQueue } from './send-queue.ts';
import { type Fragment, frameHeader, joinFrames, toTextFrame } from './text-frames.ts';

/** Bytes handed to the socket and not yet written. */
const WINDOW_BYTES = 256 * 1024;
/** Up to this size frames are copied into one buffer, which costs less than separate writes. */
const COPIED_BYTES_MAX = 16 * 1024;
/** Counted for each message beside its bytes, so that many small ones are bounded as well. */
const FRAME_OVERHEAD_BYTES = 256;
const NOTHING = Buffer.alloc(0);
/** Options for frames that `ws` makes. */
const FRAME = { binary: false, compress: false };
/** How long a peer gets to take what is queued before the close is sent. */
const FLUSH_GRACE_MS = 450;
/** How long it then gets to answer the close. So it is gone within a second in any case. */
const CLOSE_GRACE_MS = 450;

interface Waiter {
  bytes: number;
  resolve(): void;
}

export class SocketSendQueue implements SendQueue {
  readonly sendDeflated: SendQueue['sendDeflated'];
  readonly #socket: WebSocket;
  readonly #onBytes: (delta: number) => void;
  readonly #rawSocket: Socket | undefined;
  /** Made for the first ping. */
  #pongs: Pongs | undefined;
  /** Messages that have not been handed over. */
  readonly #queue = new Fragments();
  /** Fragments to be flushed in this turn of the event loop; usually `undefined`. */
  #fragments: Fragment[] | undefined;
  #queuedBytes = 0;
  #takenBytes = 0;
  #inWindow = 0;
  #waiters: Waiter[] = [];
  #lastProgressMs = performance.now();
  #isClosing = false;

  /**
   * @param onBytes called with the change of the queued bytes, to keep a sum over all sockets
   * @param rawSocket the TCP socket of `socket`; without it `ws` makes the frames
   * @param deflates whether the peer has agreed on permessage-deflate, with the whole window
   */
  constructor(
    socket: WebSocket,
    onBytes: (delta: number) => void,
    rawSocket?: Socket,
    deflates = false,
  ) {
    this.#socket = socket;
    this.#rawSocket = rawSocket;
    if (deflates && rawSocket !== undefined) {
      this.sendDeflated = (frame, taken) => this.#enqueue(frame, taken, true);
    }
    this.#onBytes = onBytes;
  }

  get isOpen(): boolean {
    return !this.#isClosing && this.#socket.readyState === this.#socket.OPEN;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  send(frame: string | Frame, taken?: () => void): void {
    this.#enqueue(typeof frame === 'string' ? [Buffer.from(frame)] : frame, taken, false);
  }

  #enqueue(pieces: Frame, taken: (() => void) | undefined, isDeflated: boolean): void {
    if (!this.isOpen) {
      taken?.();
      return;
    }
    if (this.#queuedBytes === 0) this.#lastProgressMs = performance.now();
    this.#add(frameBytes(pieces) + FRAME_OVERHEAD_BYTES);
    this.#queue.push(pieces, taken, isDeflated);
    this.#handOver();
  }

  /**
   * While nothing is queued, as most of the time, this is hardly more than the call of the system: a push
   * goes to many sockets.
   */
  sendShared(message: SharedMessage): void {
    const raw = this.#rawSocket;
    const { bytes } = message;
    if (raw === undefined || this.#queuedBytes > 0 || bytes > COPIED_BYTES_MAX) {
      this.send(message.pieces, message.share());
      return;
    }
    if (!this.isOpen) return;
    raw.write(message.encodedBy(toTextFrame));
    if (raw.writableLength > 0) this.#awaitTaken(raw, bytes, message.share());
  }

  /** The operating system has not taken a message at once: it counts as queued until it has. */
  #awaitTaken(raw: Socket, bytes: number, taken: () => void): void {
    this.#lastProgressMs = performance.now();
    this.#inWindow += bytes;
    const queued = bytes + FRAME_OVERHEAD_BYTES;
    this.#add(queued);
    raw.write(NOTHING, (error) => {
      taken();
      this.#written(bytes, queued, error);
    });
  }

  get isPaused(): boolean {
    return this.#socket.isPaused;
  }

  /** That have been read from the peer so far. */
  get arrivedBytes(): number {
    return this.#rawSocket?.bytesRead ?? 0;
  }

  ping(): void {
    if (this.isOpen) this.#socket.ping();
  }

  /** Resolves when the socket has closed. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.readyState === this.#socket.CLOSED) resolve();
      else this.#socket.once('close', () => resolve());
    });
  }

  pong(payload: Uint8Array): void {
    if (!this.isOpen) return;
    this.#pongs ??= new Pongs(this.#socket);
    this.#pongs.send(payload);
  }

  #add(delta: number): void {
    this.#queuedBytes += delta;
    this.#onBytes(delta);
  }

  #handOver(): void {
    while (this.#inWindow < WINDOW_BYTES) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#write(next);
    }
  }

  /** Collects all that is sent in this turn of the event loop, and writes it in one system call. */
  #write(fragment: Fragment): void {
    this.#inWindow += fragment.bytes.length;
    if (this.#fragments !== undefined) {
      this.#fragments.push(fragment);
      return;
    }
    this.#fragments = [fragment];
    process.nextTick(() => this.#flush());
  }

  #flush(): void {
    const fragments = this.#fragments;
    this.#fragments = undefined;
    if (fragments === undefined) return;
    // Nothing may follow a close frame.
    if (this.#socket.readyState !== this.#socket.OPEN) {
      tellTaken(fragments);
      return;
    }
    let bytes = 0;
    let taken = 0;
    for (const fragment of fragments) {
      bytes += fragment.bytes.length;
      taken += fragment.bytes.length + (fragment.isLast ? FRAME_OVERHEAD_BYTES : 0);
    }
    this.#writeOut(fragments, bytes, (error) => {
      tellTaken(fragments);
      this.#written(bytes, taken, error);
    });
  }

  /** @param taken of `queuedBytes` */
  #written(bytes: number, taken: number, error?: Error | null): void {
    this.#inWindow -= bytes;
    if (error) return;
    this.#takenBytes += bytes;
    this.#add(-Math.min(taken, this.#queuedBytes));
    this.#lastProgressMs = performance.now();
    this.#handOver();
    this.#wake();
  }

  #writeOut(
    fragments: readonly Fragment[],
    bytes: number,
    done: (error?: Error | null) => void,
  ): void {
    const raw = this.#rawSocket;
    const last = fragments.length - 1;
    if (raw === undefined) {
      for (const [i, { bytes, isLast: fin }] of fragments.entries()) {
        this.#socket.send(bytes, { ...FRAME, fin }, i === last ? done : undefined);
      }
    } else if (bytes <= COPIED_BYTES_MAX) {
      raw.write(joinFrames(fragments), done);
    } else {
      raw.cork();
      for (const [i, fragment] of fragments.entries()) {
        raw.write(frameHeader(fragment));
        raw.write(fragment.bytes, i === last ? done : undefined);
      }
      raw.uncork();
    }
  }

  drained(bytes: number): Promise<void> {
    if (this.#queuedBytes <= bytes || !this.isOpen) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ bytes, resolve });
    });
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter(({ bytes }) => this.#queuedBytes <= bytes);
    this.#waiters = this.#waiters.filter(({ bytes }) => this.#queuedBytes > bytes);
    for (const { resolve } of ready) resolve();
  }

  /** To be called when the socket has closed: drops what is queued, and wakes all waiters. */
  closed(): void {
    this.#queue.drop();
    tellTaken(this.#fragments ?? []);
    this.#fragments = undefined;
    this.#add(-this.#queuedBytes);
    this.#wake();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  /** Milliseconds since the peer last took something of what is queued; 0 if nothing is queued. */
  get stalledMs(): number {
    return this.#queuedBytes === 0 ? 0 : performance.now() - this.#lastProgressMs;
  }

  /** Sends what is queued first, if the peer takes it soon, since that may tell the reason. */
  close(code: number, reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const end = () => {
      this.#socket.close(code, reason);
      startGrace(CLOSE_GRACE_MS, () => this.#socket.terminate());
    };
    if (this.#queuedBytes === 0) {
      end();
      return;
    }
    const endGrace = startGrace(FLUSH_GRACE_MS, end);
    this.#waiters.push({
      bytes: 0,
      resolve: () => {
        endGrace();
        end();
      },
    });
  }

  closeNow(code: number, reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#flush();
    this.#socket.close(code, reason);
    // After the operating system has taken it. If the socket waited for an answer, a flood would
    // pile up.
    this.#rawSocket?.destroySoon();
  }
}

function tellTaken(fragments: readonly Fragment[]): void {
  for (const { taken } of fragments) taken?.();
}
