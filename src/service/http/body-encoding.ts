/** Bodies that were compressed (`Content-Encoding`). */

import type { IncomingHttpHeaders } from 'node:http';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { SyncError } from '../../errors/sync-error.ts';
import { type DecodedSize, decodeWithin } from '../../wire/decode-within.ts';

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

/** @throws SyncError: see `decodeWithin` */
export async function decodeBody(
  body: Buffer,
  encoding: string,
  size: DecodedSize,
): Promise<Buffer> {
  const decoder = DECODERS.get(encoding)?.(body);
  if (decoder === undefined) throw new TypeError(`no encoding of bodies: ${encoding}`);
  return decodeWithin(decoder, body, { what: 'body', encoding }, size);
}
