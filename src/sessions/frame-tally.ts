/**
 * Follows the frames of a client's WebSocket in the bytes that arrive, and keeps none of them: `ws` tells of
 * a message when it is whole, and this says what there is of one that isn't. Whether the frames are
 * right is for `ws` to say, which closes the socket where they are not.
 *
 *     fin opcode | masked length | length: 0, 2 or 8 bytes | mask: 4 bytes | payload
 */

const FIN = 0x80;
const OPCODE = 0x0f;
/** From here on a frame is a ping, a pong or a close, and may stand between those of a message. */
const FIRST_CONTROL_OPCODE = 8;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_BYTES: Partial<Record<number, number>> = { 126: 2, 127: 8 };
const MASK_BYTES = 4;

export class FrameTally {
  #first = 0;
  #length = 0;
  /** Bytes of a header that have been read, and that it has as far as is known. */
  #headerRead = 0;
  #headerBytes = 2;
  #lengthEnd = 2;
  #payloadLeft = 0;
  #frames = 0;

  /** Whether something has begun that is not whole. */
  get isOpen(): boolean {
    return this.#frames > 0 || this.#headerRead > 0 || this.#payloadLeft > 0;
  }

  /** Of a message whose last frame has not come: those that have. */
  get frames(): number {
    return this.#frames;
  }

  /** @returns how many messages have become whole */
  read(bytes: Uint8Array): number {
    let ended = 0;
    for (let at = 0; at < bytes.length; ) {
      if (this.#payloadLeft > 0) {
        const taken = Math.min(this.#payloadLeft, bytes.length - at);
        this.#payloadLeft -= taken;
        at += taken;
      } else {
        this.#readHeader(bytes[at++] ?? 0);
        if (this.#headerRead > 0) continue;
      }
      if (this.#payloadLeft === 0 && this.#endFrame()) ended++;
    }
    return ended;
  }

  #readHeader(byte: number): void {
    const at = this.#headerRead++;
    if (at === 0) {
      this.#first = byte;
    } else if (at === 1) {
      const length = byte & LENGTH;
      const lengthBytes = LENGTH_BYTES[length] ?? 0;
      this.#length = lengthBytes === 0 ? length : 0;
      this.#lengthEnd = 2 + lengthBytes;
      this.#headerBytes = this.#lengthEnd + ((byte & MASKED) === 0 ? 0 : MASK_BYTES);
    } else if (at < this.#lengthEnd) {
      this.#length = this.#length * 256 + byte;
    }
    if (at === 0 || this.#headerRead < this.#headerBytes) return;
    this.#headerRead = 0;
    this.#payloadLeft = this.#length;
  }

  /** @returns whether it ends a message */
  #endFrame(): boolean {
    if ((this.#first & OPCODE) >= FIRST_CONTROL_OPCODE) return false;
    const isLast = (this.#first & FIN) !== 0;
    this.#frames = isLast ? 0 : this.#frames + 1;
    return isLast;
  }
}
