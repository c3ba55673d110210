/**
 * Builds a text from ranges of other bytes. Stored values are UTF-8 JSON, most of them short:
 * copying their bytes costs a third of decoding, joining and encoding strings.
 */

/** Up to this length a loop is quicker than `set`. */
const LOOP_BYTES_MAX = 64;
/** From this length on the buffer grows by little, so that less memory is unused. */
const LONG_BYTES = 1024 * 1024;

export class ByteBuilder {
  #bytes: Buffer;
  readonly #capacity: number;
  readonly #grownCapacity: number;
  #length = 0;

  /**
   * @param grownCapacity the least size to which it grows: growing in small steps takes twice the
   * memory
   */
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
    // A long text is most often one long value, after which little follows.
    const more = length > LONG_BYTES ? length / 8 : length;
    const grown = Buffer.allocUnsafe(isEnough ? this.#grownCapacity : Math.ceil(length + more));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  /**
   * Frees a large buffer. Only while it is empty, and the bytes taken before are not needed any
   * more.
   */
  shrink(): void {
    const usual = Math.max(this.#capacity, this.#grownCapacity);
    if (this.#bytes.length > LONG_BYTES && this.#bytes.length > 2 * usual) {
      this.#bytes = Buffer.allocUnsafe(this.#capacity);
    }
  }

  /** @returns the text, and begins a new one. The bytes are valid only until the next `add`. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
