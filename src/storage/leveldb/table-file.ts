/**
 * Checks the checksums of a table of LevelDB (`*.ldb`), which LevelDB itself does not do when it
 * reads. A table consists of blocks, each followed by `compression(1) crc32c(4)`. An index block
 * lists them, and a footer of 48 bytes has the place of the index. The checksum is over what
 * precedes it.
 */

import { isSum, Varints } from './encoding.ts';

const FOOTER_BYTES = 48;
/** The compression of a block, and its checksum. */
const TRAILER_BYTES = 5;
const MAGIC = 0xdb4775248b80fb57n;

interface Handle {
  offset: number;
  size: number;
}

/** Reads a range of a file. The bytes are valid until the next but one is read. */
export type ReadRange = (offset: number, length: number) => Promise<Buffer>;

/** The bytes of a table that are read at once. */
const WINDOW_BYTES = 1024 * 1024;

/** Where a table is damaged; `undefined` for a whole one. */
export async function tableFault(read: ReadRange, size: number): Promise<string | undefined> {
  const footerAt = size - FOOTER_BYTES;
  if (footerAt < 0) return 'at its end';
  const end = await read(footerAt, FOOTER_BYTES);
  if (end.readBigUInt64LE(FOOTER_BYTES - 8) !== MAGIC) return 'at its end';
  const footer = new Varints(end.subarray(0, FOOTER_BYTES - 8));
  const handles: Handle[] = [];
  for (const list of [handleIn(footer), handleIn(footer)]) {
    if (!isWithin(list, size)) return 'in its index';
    const block = await read(list.offset, blockBytes(list));
    if (!isBlock(block)) return 'in its index';
    handles.push(...handlesIn(contentOf(block)));
  }
  handles.sort((a, b) => a.offset - b.offset);
  const outside = handles.find((handle) => !isWithin(handle, size));
  if (outside !== undefined) return `in the block at ${outside.offset}`;
  // One window is read while the one before is checked.
  const windows = windowsOf(handles);
  const readWindow = (window: Window | undefined) => {
    const reading = window && read(window.offset, window.length);
    // After a fault nothing awaits it any more.
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

/** @param handles by offset */
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

/** The size of a block with its trailer. */
function blockBytes({ size }: Handle): number {
  return size + TRAILER_BYTES;
}

function isWithin(handle: Handle, size: number): boolean {
  return handle.offset + blockBytes(handle) <= size;
}

/** @param bytes a block with its trailer */
function isBlock(bytes: Buffer): boolean {
  const sumAt = bytes.length - 4;
  return isSum(bytes.subarray(0, sumAt), bytes.readUInt32LE(sumAt));
}

function contentOf(bytes: Buffer): Buffer {
  const block = bytes.subarray(0, -TRAILER_BYTES);
  return bytes[block.length] === 1 ? decompress(block) : block;
}

/** The values of an index block, which are the places of other blocks. */
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
    handles.push(handleIn(entries));
    entries.skip(valueEnd - entries.at);
  }
  return handles;
}

function handleIn(bytes: Varints): Handle {
  return { offset: bytes.next(), size: bytes.next() };
}

/** Decompresses Snappy: literals, and copies of earlier output. */
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
