/**
 * Follows the frames of a client's WebSocket in the bytes that arrive, and keeps no bytes. `ws`
 * announces a message when it has arrived in full; this tells what has arrived of the next one. It
 * does not check frames: `ws` does, and closes the socket if they are wrong.
 *
 *     fin opcode | masked length | length: 0, 2 or 8 bytes | mask: 4 bytes | payload
 */

const FIN = 0x80;
const OPCODE = 0x0f;
/** In the first frame of a message: it is compressed. */
const RSV1 = 0x40;
/**
 * Opcodes from here on are control frames (ping, pong, close), which may come between the frames of
 * a message.
 */
const FIRST_CONTROL_OPCODE = 8;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_BYTES: Partial<Record<number, number>> = { 126: 2, 127: 8 };
const MASK_BYTES = 4;
/** So many frames of one message may be as small as they like. */
const TINY_FRAMES_MAX = 256;
/** Above that they have so much each, on average. */
const FRAME_BYTES_MIN = 128;

export const TOO_TINY_FRAMES = `after ${TINY_FRAMES_MAX} frames a message must have ${FRAME_BYTES_MIN} bytes a frame on average`;

export class FrameTally {
  #first = 0;
  #length = 0;
  /** The bytes of the header that have been read, and its length as far as it is known. */
  #headerRead = 0;
  #headerBytes = 2;
  #lengthEnd = 2;
  #payloadLeft = 0;
  #frames = 0;
  /** Of the message that has begun: what its frames have announced. */
  #messageBytes = 0;
  #isDeflated = false;
  #isTooTiny = false;
  /** Bytes of all compressed messages that have arrived in full. */
  deflatedBytes = 0;

  /** Whether a frame or a message has begun and not ended. */
  get isOpen(): boolean {
    return this.#frames > 0 || this.#headerRead > 0 || this.#payloadLeft > 0;
  }

  /** The frames that have arrived of a message without its last frame. */
  get frames(): number {
    return this.#frames;
  }

  /** Whether a message came in many frames that cost more than what is in them. */
  get isTooTiny(): boolean {
    return this.#isTooTiny;
  }

  /** @returns how many messages have ended */
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
    this.#countBytes();
  }

  #countBytes(): void {
    if ((this.#first & OPCODE) >= FIRST_CONTROL_OPCODE) return;
    if (this.#frames === 0) {
      this.#isDeflated = (this.#first & RSV1) !== 0;
      this.#messageBytes = 0;
    }
    this.#messageBytes += this.#length;
  }

  /** @returns whether the frame ends a message */
  #endFrame(): boolean {
    if ((this.#first & OPCODE) >= FIRST_CONTROL_OPCODE) return false;
    const isLast = (this.#first & FIN) !== 0;
    if (isLast && this.#isDeflated) this.deflatedBytes += this.#messageBytes;
    this.#frames = isLast ? 0 : this.#frames + 1;
    if (this.#frames > TINY_FRAMES_MAX && this.#messageBytes < this.#frames * FRAME_BYTES_MIN) {
      this.#isTooTiny = true;
    }
    return isLast;
  }
}
