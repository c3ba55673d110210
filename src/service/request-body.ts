/**
 * Reads the body of an HTTP request, and copies it out of the pieces in which it arrives. Each
 * piece costs hundreds of bytes of memory beside its own, so a body in pieces of one byte would
 * take hundreds of times its size if the pieces were kept.
 */

import type { Readable } from 'node:stream';
import { SyncError } from '../errors/sync-error.ts';

/** The size of a buffer, for a body without a Content-Length. */
const BLOCK_BYTES = 64 * 1024;

export interface BodySize {
  /** The Content-Length, in bytes, if there is one. */
  announced: number | undefined;
  /** `limits.messageBytes`. */
  bytesMax: number;
}

/**
 * Reads a whole body. After a failure the rest of it is read and dropped.
 * @throws SyncError TOO_LARGE, or MESSAGE_ERROR when the length differs from Content-Length or the
 *   body breaks off
 */
export function collectBody(stream: Readable, { announced, bytesMax }: BodySize): Promise<Buffer> {
  const copied = new CopiedBytes(announced ?? BLOCK_BYTES);
  return new Promise((resolve, reject) => {
    const refuse = (reason: SyncError) => {
      stream.off('data', take);
      stream.resume();
      reject(reason);
    };
    const take = (piece: Buffer) => {
      if (copied.length + piece.length > bytesMax) refuse(tooLarge(bytesMax));
      else if (copied.length + piece.length > (announced ?? bytesMax)) refuse(otherLength());
      else copied.add(piece);
    };
    if (announced !== undefined && announced > bytesMax) {
      refuse(tooLarge(bytesMax));
      return;
    }
    stream.on('data', take);
    stream.once('end', () => {
      if (copied.length < (announced ?? 0)) reject(otherLength());
      else resolve(copied.take());
    });
    const brokenOff = (cause?: Error) =>
      reject(new SyncError('MESSAGE_ERROR', 'the body broke off', { cause }));
    stream.once('error', brokenOff);
    stream.once('close', () => brokenOff());
  });
}

function tooLarge(bytesMax: number): SyncError {
  const limit = 'limits.messageBytes';
  return new SyncError('TOO_LARGE', `the body is larger than ${limit} (${bytesMax})`, { limit });
}

function otherLength(): SyncError {
  return new SyncError('MESSAGE_ERROR', 'the body is not as long as its Content-Length');
}

class CopiedBytes {
  readonly #blockBytes: number;
  readonly #full: Buffer[] = [];
  #block: Buffer | undefined;
  #used = 0;
  #length = 0;

  /**
   * @param blockBytes the length of the whole body if it is known: memory is used only as far as it
   *   is written
   */
  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    this.#length += piece.length;
    for (let from = 0; from < piece.length; ) {
      const block = this.#blockWithRoom();
      const copied = piece.copy(block, this.#used, from);
      this.#used += copied;
      from += copied;
    }
  }

  #blockWithRoom(): Buffer {
    if (this.#block !== undefined && this.#used < this.#block.length) return this.#block;
    if (this.#block !== undefined) this.#full.push(this.#block);
    this.#used = 0;
    this.#block = Buffer.allocUnsafeSlow(this.#blockBytes);
    return this.#block;
  }

  take(): Buffer {
    if (this.#block === undefined) return Buffer.alloc(0);
    if (this.#block.length === this.#length) return this.#block;
    return Buffer.concat([...this.#full, this.#block.subarray(0, this.#used)], this.#length);
  }
}
