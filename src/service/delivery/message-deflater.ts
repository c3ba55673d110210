/**
 * Compresses messages for WebSockets that have agreed on it (permessage-deflate, RFC 7692). Each message is
 * compressed by itself, so nothing is kept for a socket.
 */

import { constants, createDeflateRaw } from 'node:zlib';
import { Turns } from '../budgets/turns.ts';
import { type Frame, frameBytes } from './frames.ts';

/**
 * Quick, and the most that a peer's window may be: 256 KiB of memory. Sync's JSON becomes a ninth; level 6 takes
 * twice the time for a tenth less.
 */
const OPTIONS = {
  level: constants.Z_BEST_SPEED,
  windowBits: 15,
  memLevel: 8,
  chunkSize: 64 * 1024,
  finishFlush: constants.Z_SYNC_FLUSH,
};
/** What the flush ends with, and the receiver adds again. */
const TAIL_BYTES = 4;
/** In all, whatever clients ask for: the threads that compress are those that sync the disk. */
const AT_ONCE = 2;
/** A shorter message fits into few packets as it is. */
const DEFLATED_BYTES_MIN = 4 * 1024;
/** What some clients inflate at most (undici 6.24, as in Node.js 20). */
const INFLATED_BYTES_MAX = 4 * 1024 * 1024;
/** The longest page that is sure to be compressed: its change sets, without what is around them. */
export const DEFLATED_PAGE_BYTES_MAX = INFLATED_BYTES_MAX - 64 * 1024;

/** @param length in bytes */
export function isWorthDeflating(length: number): boolean {
  return length >= DEFLATED_BYTES_MIN && length <= INFLATED_BYTES_MAX;
}

export class MessageDeflater {
  readonly #turns = new Turns(AT_ONCE);

  deflate(message: Frame): Promise<Frame> {
    return this.#turns.run(() => deflate(message));
  }
}

async function deflate(message: Frame): Promise<Frame> {
  const deflater = createDeflateRaw(OPTIONS);
  for (const piece of message) deflater.write(piece);
  deflater.end();
  const pieces: Buffer[] = [];
  for await (const piece of deflater) pieces.push(piece);
  return [Buffer.concat(pieces, frameBytes(pieces) - TAIL_BYTES)];
}
