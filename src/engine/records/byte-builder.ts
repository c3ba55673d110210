/**
 * Puts a text together from ranges of other bytes. What is stored is UTF-8 JSON already, and most of
 * it short: copied like this it costs a third of what strings would, which are decoded, joined and
 * encoded again.
 */

/** Below it a loop is quicker than the call that copies. */
const LOOP_BYTES_MAX = 64;
/** From here on memory is rather grown often than too much. */
const LONG_BYTES = 1024 * 1024;

export class ByteBuilder {
  #bytes: Buffer;
  readonly #capacity: number;
  readonly #grownCapacity: number;
  #length = 0;

  /** @param grownCapacity what it grows to at least: bit by bit it would take twice as many bytes */
  constructor(capacity: number, grownCapacity = 0) {
    this.#bytes = Buffer.allocUnsafe(capacity);
    this.#capacity = capacity;
    this.#grownCapacity = grownCapacity;
  }

  get length(): number {
    return this.#length;
  }

  add(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const length = end - start;
    if (this.#length === 0) this.shrink();
    if (this.#length + length > this.#bytes.length) this.#grow(this.#length + length);
    const into = this.#bytes;
    let at = this.#length;
    this.#length = at + length;
    if (length <= LOOP_BYTES_MAX) {
      for (let i = start; i < end; i++) into[at++] = bytes[i] ?? 0;
    } else {
      into.set(bytes.subarray(start, end), at);
    }
  }

  #grow(length: number): void {
    const isEnough = length <= this.#grownCapacity;
    // Beyond that it is most often one long piece, and little comes after it.
    const more = length > LONG_BYTES ? length / 8 : length;
    const grown = Buffer.allocUnsafe(isEnough ? this.#grownCapacity : Math.ceil(length + more));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  /** What was needed for something large is not kept for what comes after it; once that has been taken. */
  shrink(): void {
    const usual = Math.max(this.#capacity, this.#grownCapacity);
    if (this.#bytes.length > LONG_BYTES && this.#bytes.length > 2 * usual) {
      this.#bytes = Buffer.allocUnsafe(this.#capacity);
    }
  }

  /** What has been added, and begins anew. It is lent: the next that is added overwrites it. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
