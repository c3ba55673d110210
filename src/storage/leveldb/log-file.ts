/**
 * Checks the checksums of a log of LevelDB (`*.log`, `MANIFEST-*`), which LevelDB itself does not
 * do when it reads. A log consists of blocks of 32 KiB, each of records
 *
 *     crc32c(4) length(2) type(1) data      type 1 full, 2 first, 3 middle, 4 last
 *
 * The checksum is over what follows it.
 */

import { isSum } from './encoding.ts';

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;

/** Checks a log, part by part. */
export class LogScan {
  readonly #onRecord: ((record: Buffer) => void) | undefined;
  /** Whether a record has begun and not ended, where it began, and its parts for `onRecord`. */
  #isWithin = false;
  #startedAt = 0;
  #parts: Buffer[] = [];
  /** Bytes of the log that have been checked. */
  #seen = 0;
  #faultAt: number | undefined;
  #goesOn = false;

  /**
   * @param onRecord called with each record, in order, up to the first fault; the caller must then
   *   not change added bytes
   */
  constructor(onRecord?: (record: Buffer) => void) {
    this.#onRecord = onRecord;
  }

  /** The offset of the first damaged record. */
  get faultAt(): number | undefined {
    return this.#faultAt;
  }

  /**
   * Whether a whole record follows the fault: then it is damage, since a crash only cuts off the
   * end.
   */
  get goesOn(): boolean {
    return this.#goesOn;
  }

  /** @param bytes the next part: whole blocks, except at the end of the log */
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
        // A record surely begins only at the next block.
        at += left;
        continue;
      }
      this.#addPiece(piece, this.#seen + at, bytes);
      at += HEADER_BYTES + piece.data.length;
    }
    this.#seen += bytes.length;
  }

  /** The log has ended: a record that has not is a fault. */
  end(): void {
    if (this.#isWithin) this.#fault(this.#startedAt);
  }

  #addPiece({ data, type }: Piece, at: number, bytes: Buffer): void {
    // Before a crash a later part of the same write may have reached the disk, but no later write.
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

  /** @param bytes the current part, which may contain `at` */
  #fault(at: number, bytes?: Buffer): void {
    if (this.#faultAt !== undefined) return;
    this.#faultAt = at;
    // If the record has filled its block, no other follows within that.
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

/** Whether a whole record begins anywhere in the rest of the faulty block. */
function followsInBlock(bytes: Buffer, faultAt: number): boolean {
  const blockEnd = Math.min(bytes.length, faultAt - (faultAt % BLOCK_BYTES) + BLOCK_BYTES);
  for (let at = faultAt + 1; at + HEADER_BYTES < blockEnd; at++) {
    const type = bytes[at + 6] ?? 0;
    if (type < 1 || type > 2 || bytes.readUInt16LE(at + 4) === 0) continue;
    if (pieceAt(bytes, at, blockEnd - at) !== undefined) return true;
  }
  return false;
}
