/** Messages that wait to be sent, cut into the fragments in which they go. */

import { Fifo } from '../service/budgets/fifo.ts';
import type { Frame } from '../service/delivery/frames.ts';
import type { Fragment } from './text-frames.ts';

const FRAGMENT_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

interface Message {
  /** The part of the piece at `at` that has not been taken. The pieces after it follow. */
  bytes: Buffer;
  pieces: Frame;
  at: number;
  isDeflated: boolean;
  taken: (() => void) | undefined;
}

export class Fragments {
  /** Messages of which nothing has been taken yet. */
  readonly #queue = new Fifo<Message>();
  /** The rest of a message that is sent in fragments. */
  #rest: Message | undefined;

  /** @param taken is passed on with the last fragment of the message */
  push(pieces: Frame, taken: (() => void) | undefined, isDeflated = false): void {
    this.#queue.push({ bytes: pieceAt(pieces, 0), pieces, at: 0, isDeflated, taken });
  }

  shift(): Fragment | undefined {
    const rest = this.#rest;
    const message = rest ?? this.#queue.shift();
    if (message === undefined) return undefined;
    const isFirst = rest === undefined;
    const { bytes, pieces, at, isDeflated, taken } = message;
    if (bytes.length > FRAGMENT_BYTES) {
      this.#rest = { ...message, bytes: bytes.subarray(FRAGMENT_BYTES) };
      return { bytes: bytes.subarray(0, FRAGMENT_BYTES), isFirst, isLast: false, isDeflated };
    }
    if (at + 1 < pieces.length) {
      this.#rest = { ...message, bytes: pieceAt(pieces, at + 1), at: at + 1 };
      return { bytes, isFirst, isLast: false, isDeflated };
    }
    this.#rest = undefined;
    return { bytes, isFirst, isLast: true, isDeflated, taken };
  }

  /** None of it will be sent. */
  drop(): void {
    const { length } = this.#queue;
    for (let i = 0; i < length; i++) this.#queue.shift()?.taken?.();
    this.#rest?.taken?.();
    this.#rest = undefined;
  }
}

function pieceAt(pieces: Frame, at: number): Buffer {
  const { buffer, byteOffset, byteLength } = pieces[at] ?? NOTHING;
  return Buffer.from(buffer, byteOffset, byteLength);
}
