/**
 * Reads the body of an HTTP request, and copies it out of the pieces in which it arrives. Each
 * piece costs hundreds of bytes of memory beside its own, so a body in pieces of one byte would
 * take hundreds of times its size if the pieces were kept.
 */

import type { Readable } from 'node:stream';
import { ClientGone } from '../../errors/client-gone.ts';
import { SyncError } from '../../errors/sync-error.ts';

/** The size of a buffer, for a body without a Content-Length. */
const BLOCK_BYTES = 64 * 1024;

export interface BodyOptions {
  /** The Content-Length, in bytes, if there is one. */
  announced: number | undefined;
  /** `limits.messageBytes`. */
  bytesMax: number;
  /**
   * Called before a piece is kept, with the bytes up to its end. If it returns a promise there is
   * no room yet: nothing more is read before that resolves.
   */
  arrive(bytes: number): Promise<void> | undefined;
  /** Aborted when the body is wanted no more, with the reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Reads a whole body. After a failure the rest of it is read and dropped.
 * @throws SyncError TOO_LARGE, or MESSAGE_ERROR when the length differs from Content-Length or the
 *   body breaks off, since its client has gone; what `arrive` rejects with, or the reason of `signal`
 */
export function collectBody(
  stream: Readable,
  { announced, bytesMax, arrive, signal }: BodyOptions,
): Promise<Buffer> {
  /** `undefined` after a failure: the connection may be open for long yet. */
  let copied: CopiedBytes | undefined = new CopiedBytes(announced ?? BLOCK_BYTES);
  return new Promise((resolve, reject) => {
    let isWhole = false;
    let waiting: Promise<void> | undefined;
    const refuse = (reason: unknown) => {
      stream.off('data', take);
      copied = undefined;
      stream.resume();
      reject(reason);
    };
    const take = (piece: Buffer) => {
      if (copied === undefined) return;
      const length = copied.length + piece.length;
      if (length > bytesMax) return refuse(tooLarge(bytesMax));
      if (length > (announced ?? bytesMax)) return refuse(otherLength());
      const room = arrive(length);
      // One that may not go on has been refused meanwhile.
      if (room === undefined) return copied?.add(piece);
      stream.pause();
      waiting = room.then(() => {
        waiting = undefined;
        copied?.add(piece);
        stream.resume();
      });
      waiting.catch(refuse);
    };
    const end = () => {
      if (copied === undefined) return;
      if (copied.length < (announced ?? 0)) reject(otherLength());
      else resolve(copied.take());
    };
    if (announced !== undefined && announced > bytesMax) {
      refuse(tooLarge(bytesMax));
      return;
    }
    signal?.addEventListener('abort', () => refuse(signal.reason));
    stream.on('data', take);
    stream.once('end', () => {
      isWhole = true;
      // The last piece may still wait for room.
      if (waiting === undefined) end();
      else waiting.then(end, reject);
    });
    const brokenOff = () => {
      const cause = new ClientGone();
      if (!isWhole) reject(new SyncError('MESSAGE_ERROR', 'the body broke off', { cause }));
    };
    stream.once('error', brokenOff);
    stream.once('close', brokenOff);
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
