/** The checksums and numbers in LevelDB's files; numbers are little-endian. */

import { crc32c } from '@node-rs/crc32';

/** @param stored the stored checksum of `bytes`, which LevelDB masks */
export function isSum(bytes: Uint8Array, stored: number): boolean {
  const sum = crc32c(bytes);
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0 === stored;
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

  /** A number of a fixed size; NaN beyond the end. */
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
}
