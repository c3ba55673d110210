/**
 * A message that several sessions are sent. It takes its memory once, until the last of their clients has
 * taken it.
 */

import { type Frame, frameBytes } from './frames.ts';

export class SharedMessage {
  readonly pieces: Frame;
  readonly bytes: number;
  readonly #taken: () => void;
  #users = 0;
  #encoded: Buffer | undefined;

  /** @param free called when nobody needs it any more */
  constructor(pieces: Frame, free: () => void) {
    this.pieces = pieces;
    this.bytes = frameBytes(pieces);
    this.#taken = () => {
      this.#users--;
      if (this.#users === 0) free();
    };
  }

  /** One more needs it. @returns to be called once by each, when it needs it no more */
  share(): () => void {
    this.#users++;
    return this.#taken;
  }

  /** The bytes in which a transport sends it, which are the same for every client. */
  encodedBy(encode: (pieces: Frame) => Buffer): Buffer {
    this.#encoded ??= encode(this.pieces);
    return this.#encoded;
  }
}
