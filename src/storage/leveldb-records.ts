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

/** Looks through a log, part by part. */
export class LogScan {
  readonly #onRecord: ((record: Buffer) => void) | undefined;
  /** Whether a record has begun and not ended, where, and what there is of it for `onRecord`. */
  #isWithin = false;
  #startedAt = 0;
  #parts: Buffer[] = [];
  /** Bytes of the log that have been looked through. */
  #seen = 0;
  #faultAt: number | undefined;
  #goesOn = false;

  /**
   * @param onRecord told what was written, in order, up to the first fault; what is added must then
   *   stay as it is
   */
  constructor(onRecord?: (record: Buffer) => void) {
    this.#onRecord = onRecord;
  }

  /** Where something stands that was never written so. */
  get faultAt(): number | undefined {
    return this.#faultAt;
  }

  /** Whether anything that is whole follows the fault: no crash leaves that. */
  get goesOn(): boolean {
    return this.#goesOn;
  }

  /** @param bytes those that follow: whole blocks, until the last of the log */
  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const left = BLOCK_BYTES - (at % BLOCK_BYTES);
      if (left < HEADER_BYTES) {
        at += left;
        continue;
      }
      const piece = pieceAt(bytes, at, left);
      if (piece === undefined) {
        this.#fault(this.#seen + at, bytes);
        // Where the next record begins is only known at the next block.
        at += left;
        continue;
      }
      this.#addPiece(piece, this.#seen + at, bytes);
      at += HEADER_BYTES + piece.data.length;
    }
    this.#seen += bytes.length;
  }

  /** What is missing at the end is a fault at the end. */
  end(): void {
    if (this.#isWithin) this.#fault(this.#startedAt);
  }

  #addPiece({ data, type }: Piece, at: number, bytes: Buffer): void {
    // A later part of the same write may have reached the disk before a crash; another write can't.
    if (this.#faultAt !== undefined && type <= 2) this.#goesOn = true;
    if (type === 1 || type === 2) {
      if (this.#isWithin) this.#fault(this.#startedAt, bytes);
      this.#parts = [];
      this.#startedAt = at;
    } else if (!this.#isWithin) this.#fault(at, bytes);
    this.#isWithin = type === 2 || type === 3;
    if (this.#onRecord === undefined) return;
    this.#parts.push(data);
    if (!this.#isWithin && this.#faultAt === undefined) this.#onRecord(Buffer.concat(this.#parts));
  }

  /** @param bytes that are looked through, `at` perhaps among them */
  #fault(at: number, bytes?: Buffer): void {
    if (this.#faultAt !== undefined) return;
    this.#faultAt = at;
    // A record that has filled its block leaves nothing to follow it there.
    if (bytes !== undefined && at >= this.#seen)
      this.#goesOn = followsInBlock(bytes, at - this.#seen);
  }
}

interface Piece {
  type: number;
  data: Buffer;
}

function pieceAt(bytes: Buffer, at: number, left: number): Piece | undefined {
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
/** The compression of a block, and its checksum. */
const TRAILER_BYTES = 5;
const MAGIC = 0xdb4775248b80fb57n;

interface Handle {
  offset: number;
  size: number;
}

/** A range of a file; it is lent until the next but one is asked for. */
export type ReadRange = (offset: number, length: number) => Promise<Buffer>;

/** So much of a table is read at once. */
const WINDOW_BYTES = 1024 * 1024;

/** Where in a table something stands that was never written so; `undefined` for a whole one. */
export async function tableFault(read: ReadRange, size: number): Promise<string | undefined> {
  const footerAt = size - FOOTER_BYTES;
  if (footerAt < 0) return 'at its end';
  const end = await read(footerAt, FOOTER_BYTES);
  if (end.readBigUInt64LE(FOOTER_BYTES - 8) !== MAGIC) return 'at its end';
  const footer = new Varints(end.subarray(0, FOOTER_BYTES - 8));
  const handles: Handle[] = [];
  for (const list of [footer.handle(), footer.handle()]) {
    if (!isWithin(list, size)) return 'in its index';
    const block = await read(list.offset, blockBytes(list));
    if (!isBlock(block)) return 'in its index';
    handles.push(...handlesIn(contentOf(block)));
  }
  handles.sort((a, b) => a.offset - b.offset);
  const outside = handles.find((handle) => !isWithin(handle, size));
  if (outside !== undefined) return `in the block at ${outside.offset}`;
  // One window is read while the one before it is looked at.
  const windows = windowsOf(handles);
  const readWindow = (window: Window | undefined) => {
    const reading = window && read(window.offset, window.length);
    // It may be that nobody waits for it any more.
    reading?.catch(() => undefined);
    return reading;
  };
  let reading = readWindow(windows[0]);
  for (const [i, window] of windows.entries()) {
    const bytes = await reading;
    reading = readWindow(windows[i + 1]);
    const broken = window.handles.find((handle) => {
      const at = handle.offset - window.offset;
      return bytes === undefined || !isBlock(bytes.subarray(at, at + blockBytes(handle)));
    });
    if (broken !== undefined) return `in the block at ${broken.offset}`;
  }
  return undefined;
}

/** Blocks that are read together. */
interface Window {
  offset: number;
  length: number;
  handles: Handle[];
}

/** @param handles by where they stand */
function windowsOf(handles: readonly Handle[]): Window[] {
  const windows: Window[] = [];
  let window: Window | undefined;
  for (const handle of handles) {
    const end = handle.offset + blockBytes(handle);
    if (window === undefined || end - window.offset > WINDOW_BYTES) {
      window = { offset: handle.offset, length: 0, handles: [] };
      windows.push(window);
    }
    window.length = end - window.offset;
    window.handles.push(handle);
  }
  return windows;
}

/** With what follows a block. */
function blockBytes({ size }: Handle): number {
  return size + TRAILER_BYTES;
}

function isWithin(handle: Handle, size: number): boolean {
  return handle.offset + blockBytes(handle) <= size;
}

/** @param bytes of a block, with what follows it */
function isBlock(bytes: Buffer): boolean {
  const sumAt = bytes.length - 4;
  return isSum(bytes.subarray(0, sumAt), bytes.readUInt32LE(sumAt));
}

function contentOf(bytes: Buffer): Buffer {
  const block = bytes.subarray(0, -TRAILER_BYTES);
  return bytes[block.length] === 1 ? decompress(block) : block;
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
    entries.skip(keyBytes);
    const valueEnd = entries.at + valueBytes;
    handles.push(entries.handle());
    entries.skip(valueEnd - entries.at);
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

  get at(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return !(this.#at < this.#bytes.length);
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

  skip(bytes: number): void {
    this.#at += bytes;
  }

  take(bytes: number): Buffer {
    this.skip(bytes);
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  handle(): Handle {
    return { offset: this.next(), size: this.next() };
  }
}
