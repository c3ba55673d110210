/**
 * The checksums of LevelDB's files, which it does not look at itself when it reads.
 *
 * A log (`*.log`, `MANIFEST-*`) is blocks of 32 KiB, each of records
 *
 *     crc32c(4) length(2) type(1) data      type 1 full, 2 first, 3 middle, 4 last
 *
 * and a table (`*.ldb`) is blocks, each followed by `compression(1) crc32c(4)`, found through an
 * index block, which is found through a footer of 48 bytes. Numbers are little-endian; the
 * checksum is over what follows it in a log, what precedes it in a table, and is stored masked.
 */

import { crc32c } from '@node-rs/crc32';

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;

function isSum(bytes: Uint8Array, stored: number): boolean {
  const sum = crc32c(bytes);
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0 === stored;
}

export interface LogContent {
  /** What was written, in order, up to the first fault. */
  records: Buffer[];
  /** Where something stands that was never written so. */
  faultAt: number | undefined;
  /** Whether anything that is whole follows the fault: no crash leaves that. */
  goesOn: boolean;
}

/** Reads a log; what is missing at its end is a fault at the end. */
export function readLogFile(bytes: Buffer): LogContent {
  const records: Buffer[] = [];
  let parts: Buffer[] = [];
  let startedAt = 0;
  let faultAt: number | undefined;
  for (let at = 0; at < bytes.length; ) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const piece = pieceAt(bytes, at, left);
    if (piece === undefined) {
      faultAt ??= at;
      // Where the next record begins is only known at the next block.
      at += left;
      continue;
    }
    const { data, type } = piece;
    // A later part of the same write may have reached the disk before a crash; another write can't.
    if (faultAt !== undefined && type <= 2) return { records, faultAt, goesOn: true };
    if (type === 1 || type === 2) {
      if (parts.length > 0) faultAt ??= startedAt;
      parts = [];
      startedAt = at;
    } else if (parts.length === 0) faultAt ??= at;
    parts.push(data);
    at += HEADER_BYTES + data.length;
    if (type !== 1 && type !== 4) continue;
    if (faultAt === undefined) records.push(Buffer.concat(parts));
    parts = [];
  }
  if (parts.length > 0) faultAt ??= startedAt;
  if (faultAt === undefined) return { records, faultAt, goesOn: false };
  return { records, faultAt, goesOn: followsInBlock(bytes, faultAt) };
}

function pieceAt(bytes: Buffer, at: number, left: number) {
  if (at + HEADER_BYTES > bytes.length) return undefined;
  const length = bytes.readUInt16LE(at + 4);
  const type = bytes[at + 6] ?? 0;
  const end = at + HEADER_BYTES + length;
  if (type < 1 || type > 4 || HEADER_BYTES + length > left || end > bytes.length) return undefined;
  if (!isSum(bytes.subarray(at + 6, end), bytes.readUInt32LE(at))) return undefined;
  return { type, data: bytes.subarray(at + HEADER_BYTES, end) };
}

/** Whether a whole record begins anywhere in the rest of a faulty one's block. */
function followsInBlock(bytes: Buffer, faultAt: number): boolean {
  const blockEnd = Math.min(bytes.length, faultAt - (faultAt % BLOCK_BYTES) + BLOCK_BYTES);
  for (let at = faultAt + 1; at + HEADER_BYTES < blockEnd; at++) {
    const type = bytes[at + 6] ?? 0;
    if (type < 1 || type > 2 || bytes.readUInt16LE(at + 4) === 0) continue;
    if (pieceAt(bytes, at, blockEnd - at) !== undefined) return true;
  }
  return false;
}

const FOOTER_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;

interface Handle {
  offset: number;
  size: number;
}

/** Where in a table something stands that was never written so; `undefined` for a whole one. */
export function tableFault(bytes: Buffer): string | undefined {
  const footerAt = bytes.length - FOOTER_BYTES;
  if (footerAt < 0 || bytes.readBigUInt64LE(bytes.length - 8) !== MAGIC) return 'at its end';
  const footer = new Varints(bytes.subarray(footerAt, bytes.length - 8));
  const [meta, index] = [footer.handle(), footer.handle()];
  const filters = isBlock(bytes, meta) ? handlesIn(contentOf(bytes, meta)) : undefined;
  const blocks = isBlock(bytes, index) ? handlesIn(contentOf(bytes, index)) : undefined;
  if (filters === undefined || blocks === undefined) return 'in its index';
  const broken = [...filters, ...blocks].find((handle) => !isBlock(bytes, handle));
  return broken && `in the block at ${broken.offset}`;
}

function isBlock(bytes: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size + 1;
  if (!(end + 4 <= bytes.length)) return false;
  return isSum(bytes.subarray(offset, end), bytes.readUInt32LE(end));
}

function contentOf(bytes: Buffer, { offset, size }: Handle): Buffer {
  const block = bytes.subarray(offset, offset + size);
  return bytes[offset + size] === 1 ? decompress(block) : block;
}

/** The values of an index block, which are where other blocks stand. */
function handlesIn(block: Buffer): Handle[] {
  const restarts = block.readUInt32LE(block.length - 4);
  const entries = new Varints(block.subarray(0, block.length - 4 * (restarts + 1)));
  const handles: Handle[] = [];
  while (!entries.isAtEnd) {
    entries.next();
    const keyBytes = entries.next();
    const valueBytes = entries.next();
    entries.take(keyBytes);
    handles.push(new Varints(entries.take(valueBytes)).handle());
  }
  return handles;
}

/** Snappy: literals, and copies of what came out before. */
function decompress(block: Buffer): Buffer {
  const input = new Varints(block);
  const output = Buffer.alloc(input.next());
  let at = 0;
  while (!input.isAtEnd) {
    const tag = input.number(1);
    const kind = tag & 3;
    let length = (tag >>> 2) + 1;
    if (kind === 0) {
      if (length > 60) length = input.number(length - 60) + 1;
      at += input.take(length).copy(output, at);
      continue;
    }
    let offset: number;
    if (kind === 1) {
      length = ((tag >>> 2) & 7) + 4;
      offset = ((tag >>> 5) << 8) | input.number(1);
    } else offset = input.number(kind === 2 ? 2 : 4);
    for (; length > 0; length--, at++) output[at] = output[at - offset] ?? 0;
  }
  return output;
}

/** Reads numbers and bytes, one after the other. */
export class Varints {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A number in groups of seven bits; NaN beyond the end. */
  next(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  /** A number of so many bytes; NaN beyond the end. */
  number(bytes: number): number {
    let value = 0;
    for (let scale = 1; bytes > 0; bytes--, scale *= 256) {
      value += (this.#bytes[this.#at++] ?? Number.NaN) * scale;
    }
    return value;
  }

  take(bytes: number): Buffer {
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  handle(): Handle {
    return { offset: this.next(), size: this.next() };
  }
}
