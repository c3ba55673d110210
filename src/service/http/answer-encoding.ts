/**
 * Answers that are compressed, as the client accepts (`Accept-Encoding`). The settings are quick ones: they
 * take sync's JSON to a tenth, and more effort gains little.
 */

import { pipeline, type Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { negotiate } from '@fastify/accept-negotiator';

/** 256 KiB, which bounds what a compressor holds. */
const WINDOW_LOG = 18;
/** For each answer that is being compressed: window, tables and output. Measured at 0.3 to 1.6 MiB. */
export const COMPRESSOR_BYTES = 2 * 1024 * 1024;
/** A shorter answer fits into few packets as it is. */
const COMPRESSED_BYTES_MIN = 4 * 1024;

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants;
const brotliParams = { [BROTLI_PARAM_QUALITY]: 2, [BROTLI_PARAM_LGWIN]: WINDOW_LOG };
// Where a client has no preference, the first is taken.
const ENCODERS = new Map<string, () => Transform>();
// From Node.js 22.15 on.
if ('createZstdCompress' in zlib) {
  const create = zlib.createZstdCompress as (options: zlib.BrotliOptions) => Transform;
  const { ZSTD_c_compressionLevel: level = 100, ZSTD_c_windowLog: windowLog = 101 } =
    zlib.constants as Record<string, number>;
  ENCODERS.set('zstd', () => create({ params: { [level]: 1, [windowLog]: WINDOW_LOG } }));
}
ENCODERS.set('br', () => zlib.createBrotliCompress({ params: brotliParams }));
ENCODERS.set('gzip', () => zlib.createGzip({ level: zlib.constants.Z_BEST_SPEED }));
const NAMES = [...ENCODERS.keys(), 'identity'];

/** @param accepted the header `Accept-Encoding` */
export function answerEncodingOf(accepted: string | undefined): string | undefined {
  const name = accepted === undefined ? null : negotiate(accepted.toLowerCase(), NAMES);
  return name === null || name === 'identity' ? undefined : name;
}

/** @param length in bytes */
export function isWorthEncoding(length: number): boolean {
  return length >= COMPRESSED_BYTES_MIN;
}

/** @returns ends or fails with `source`, and takes it down when it is destroyed itself */
export function encodeAnswer(source: Readable, encoding: string): Transform {
  const encoder = ENCODERS.get(encoding)?.();
  if (encoder === undefined) throw new TypeError(`no encoding of answers: ${encoding}`);
  // Whoever sends the encoder's output is told of failures by it.
  pipeline(source, encoder, () => {});
  return encoder;
}
