/**
 * Builds the WebSocket frames in which a server sends text, unmasked (RFC 6455, 5.2), compressed or not (RFC
 * 7692, 6). `ws` writes each frame separately; these are joined into one write.
 */

import type { Frame } from '../service/delivery/frames.ts';

const TEXT = 0x1;
const CONTINUATION = 0x0;
const FIN = 0x80;
/** In the first frame of a message: it is compressed. */
const RSV1 = 0x40;
/** In place of a length of more than seven bits, which follows in two bytes or in eight. */
const TWO_BYTES = 126;
const EIGHT_BYTES = 127;
const UINT16_MAX = 0xffff;

/** A message, or a part of one. */
export interface Fragment {
  bytes: Buffer;
  isFirst: boolean;
  isLast: boolean;
  /** Whether the message is compressed. */
  isDeflated?: boolean;
  /** Set on the last fragment: called when the whole message is written out, or never will be. */
  taken?: (() => void) | undefined;
}

export function headerBytes(length: number): number {
  if (length < TWO_BYTES) return 2;
  return length <= UINT16_MAX ? 4 : 10;
}

/** @returns the offset of the content */
function writeHeader(into: Buffer, at: number, fragment: Fragment): number {
  const { isFirst, isLast, isDeflated = false } = fragment;
  const { length } = fragment.bytes;
  into[at] = (isLast ? FIN : 0) | (isFirst ? TEXT : CONTINUATION);
  if (isFirst && isDeflated) into[at] |= RSV1;
  const size = headerBytes(length);
  into[at + 1] = size === 2 ? length : size === 4 ? TWO_BYTES : EIGHT_BYTES;
  if (size === 4) into.writeUInt16BE(length, at + 2);
  if (size === 10) into.writeBigUInt64BE(BigInt(length), at + 2);
  return at + size;
}

export function frameHeader(fragment: Fragment): Buffer {
  const header = Buffer.allocUnsafe(headerBytes(fragment.bytes.length));
  writeHeader(header, 0, fragment);
  return header;
}

/** Copies frames into one buffer. */
export function joinFrames(fragments: readonly Fragment[]): Buffer {
  let size = 0;
  for (const { bytes } of fragments) size += headerBytes(bytes.length) + bytes.length;
  const joined = Buffer.allocUnsafe(size);
  let at = 0;
  for (const fragment of fragments) {
    at = writeHeader(joined, at, fragment);
    joined.set(fragment.bytes, at);
    at += fragment.bytes.length;
  }
  return joined;
}

/** The frame of a whole message. */
export function toTextFrame(pieces: Frame): Buffer {
  return joinFrames([{ bytes: Buffer.concat(pieces), isFirst: true, isLast: true }]);
}
