/** Splits bytes into lines, across the ends of chunks. */

import { damaged } from './format.ts';

const MIB = 1024 * 1024;
/**
 * Far more than one message of a device may have. A file without newlines must not fill the memory.
 */
export const LINE_BYTES_MAX = 128 * MIB;

const NEWLINE = 10;

export interface TextLine {
  /** The first is 1. */
  number: number;
  /** With its newline. */
  bytes: Uint8Array;
  /** Whether it has a newline. Only the last line may have none; then it may be cut off. */
  isEnded: boolean;
}

/** @throws ExportFileError for a line that is too long, before it has been read to its end */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  lineBytesMax = LINE_BYTES_MAX,
): AsyncGenerator<TextLine> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end + 1));
      yield { number, bytes: joined(parts), isEnded: true };
      number++;
      parts = [];
      length = 0;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > lineBytesMax) {
      throw damaged(`line ${number} is longer than ${lineBytesMax / MIB} MiB`);
    }
  }
  if (length > 0) yield { number, bytes: joined(parts), isEnded: false };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  return first !== undefined && parts.length === 1 ? first : Buffer.concat(parts);
}
