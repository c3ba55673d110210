/**
 * Bodies that were compressed (`Content-Encoding`). What is small may become a thousand times as large: it is
 * given up as soon as it is larger than a body may be, and takes of the memory as it grows.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { SyncError } from '../../errors/sync-error.ts';

type Decoder = (body: Buffer) => Transform;

/** 8 MiB, as HTTP says (RFC 9659): a decoder keeps that much. */
const ZSTD_WINDOW_LOG_MAX = 23;

const gunzip: Decoder = () => zlib.createGunzip();
const DECODERS = new Map<string, Decoder>([
  ['gzip', gunzip],
  ['x-gzip', gunzip],
  // It ought to have a header of zlib, and some leave that out.
  ['deflate', (body) => (isZlib(body) ? zlib.createInflate() : zlib.createInflateRaw())],
  ['br', () => zlib.createBrotliDecompress()],
]);
// From Node.js 22.15 on.
if ('createZstdDecompress' in zlib) {
  const create = zlib.createZstdDecompress as (options: zlib.BrotliOptions) => Transform;
  const windowLogMax = (zlib.constants as Record<string, number>).ZSTD_d_windowLogMax ?? 100;
  DECODERS.set('zstd', () => create({ params: { [windowLogMax]: ZSTD_WINDOW_LOG_MAX } }));
}

/** The encodings that are understood, for `Accept-Encoding`. */
export const BODY_ENCODINGS = [...DECODERS.keys()].filter((name) => !name.startsWith('x-'));

/** RFC 1950: deflate, and a check of the two bytes. */
function isZlib([first = 0, second = 0]: Buffer): boolean {
  return (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0;
}

/**
 * @returns `undefined` for a body that is as it was
 * @throws SyncError UNSUPPORTED_ENCODING; also for several, each of which could be a thousand times the one before
 */
export function bodyEncodingOf(headers: IncomingHttpHeaders): string | undefined {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return undefined;
  if (DECODERS.has(encoding)) return encoding;
  const known = BODY_ENCODINGS.join(', ');
  throw new SyncError('UNSUPPORTED_ENCODING', `Content-Encoding: may be one of ${known}`);
}

export interface DecodedSize {
  /** `limits.messageBytes`. */
  bytesMax: number;
  /** Resolves when there is room for so many more bytes. */
  grow(bytes: number): Promise<void>;
  /** That there is room for already. */
  held: number;
}

const STEP_BYTES = 64 * 1024;

/** @throws SyncError TOO_LARGE, MESSAGE_ERROR if it was not encoded so, or what `grow` rejects with */
export async function decodeBody(
  body: Buffer,
  encoding: string,
  { bytesMax, grow, held }: DecodedSize,
): Promise<Buffer> {
  const decoder = DECODERS.get(encoding)?.(body);
  if (decoder === undefined) throw new TypeError(`no encoding of bodies: ${encoding}`);
  const pieces: Buffer[] = [];
  let length = 0;
  let room = held;
  decoder.end(body);
  try {
    for await (const piece of decoder) {
      length += piece.length;
      if (length > bytesMax) throw tooLarge(bytesMax);
      // As much again, so that it need not ask often.
      const more = Math.min(Math.max(room, STEP_BYTES), bytesMax - room);
      if (length > room && more > 0) {
        await grow(more);
        room += more;
      }
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof SyncError) throw error;
    throw new SyncError('MESSAGE_ERROR', `the body is not valid ${encoding}`, { cause: error });
  } finally {
    decoder.destroy();
  }
  return Buffer.concat(pieces, length);
}

function tooLarge(bytesMax: number): SyncError {
  const limit = 'limits.messageBytes';
  const message = `the decoded body is larger than ${limit} (${bytesMax})`;
  return new SyncError('TOO_LARGE', message, { limit });
}
