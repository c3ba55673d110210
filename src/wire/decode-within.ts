/**
 * Decodes what was sent compressed. What is small may become a thousand times as large: it is given up as soon
 * as it is larger than it may be, and takes of the memory as it grows.
 */

import type { Transform } from 'node:stream';
import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';

/** The longest that it may become, and the option that says so. */
export interface DecodedMax {
  limit: LimitName;
  bytes: number;
}

export interface DecodedSize {
  max: DecodedMax;
  /** Resolves when there is room for so many more bytes. */
  grow(bytes: number): Promise<void>;
}

/** What it is, for errors. */
export interface Encoded {
  what: 'body' | 'message';
  encoding: string;
}

const STEP_BYTES = 64 * 1024;

/** @throws SyncError TOO_LARGE, MESSAGE_ERROR if it was not encoded so, or what `grow` rejects with */
export async function decodeWithin(
  decoder: Transform,
  sent: Buffer,
  { what, encoding }: Encoded,
  { max, grow }: DecodedSize,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  let room = 0;
  decoder.end(sent);
  try {
    for await (const piece of decoder) {
      length += piece.length;
      if (length > max.bytes) throw tooLarge(what, max);
      // As much again, so that it need not ask often.
      const more = Math.min(Math.max(room, STEP_BYTES), max.bytes - room);
      if (length > room && more > 0) {
        await grow(more);
        room += more;
      }
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof SyncError) throw error;
    throw new SyncError('MESSAGE_ERROR', `the ${what} is not valid ${encoding}`, { cause: error });
  } finally {
    decoder.destroy();
  }
  return Buffer.concat(pieces, length);
}

export function tooLarge(what: Encoded['what'], { limit, bytes }: DecodedMax): SyncError {
  return new SyncError('TOO_LARGE', `the decoded ${what} is larger than ${limit} (${bytes})`, {
    limit,
  });
}
