/**
 * Inflates what a client has sent compressed (permessage-deflate), in place of `ws`: that would inflate whatever
 * arrives at once, before anything counts it, and keep the state of an inflater for each socket.
 *
 * What is small may become a thousand times as large. So a message is inflated when the connection is ready
 * for it, within `limits.messageBytes`, and takes of the memory as it grows.
 */

import { constants, createInflateRaw, inflateRawSync } from 'node:zlib';
import { SyncError, toSyncError } from '../errors/sync-error.ts';
import { type DecodedMax, decodeWithin, tooLarge } from '../wire/decode-within.ts';
import type { ArrivedBytes } from './arrived-bytes.ts';

export interface MessageInflaterOptions {
  arrived: ArrivedBytes;
  /** Whether the next message may come now. If not, `goOn` is to be called later. */
  isReady(): boolean;
  /** The longest message that may come now. */
  max(): DecodedMax;
  /** No more is to be read from the client. */
  refuse(reason: SyncError): void;
}

/** What `ws` is told, as by its own inflater. */
export type Inflated = (error: Error | null, data?: Buffer) => void;

/** An empty stored block without its header: the end of each message, which is not sent (RFC 7692, 7.2.2). */
const TAIL = Buffer.of(0, 0, 0xff, 0xff);
const NOTHING = Buffer.alloc(0);
const ENCODING = { what: 'message', encoding: 'permessage-deflate' } as const;
/** Up to this size a message is inflated at once, which costs less than in a thread. */
const SHORT_BYTES = 4 * 1024;
/** What becomes longer is inflated in a thread, and counted. */
const UNCOUNTED_BYTES = 64 * 1024;
/** Memory for an inflater and its output. */
const INFLATER_BYTES = 128 * 1024;
const FLUSH = { finishFlush: constants.Z_SYNC_FLUSH };

export class MessageInflater {
  readonly #options: MessageInflaterOptions;
  /** The frames of a message whose last one has not come. */
  #frames: Buffer[] = [];
  /** Takes the message that is being inflated, or waits for that. */
  #inflated: Inflated | undefined;
  #waiting: Buffer | undefined;
  #isClosed = false;
  /** Inflated in this turn of the event loop. */
  #bytesInTurn = 0;

  constructor(options: MessageInflaterOptions) {
    this.#options = options;
  }

  /** `ws` calls it for each frame, and goes on when it is answered, which must not be at once. */
  readonly decompress = (frame: Buffer, isLast: boolean, inflated: Inflated): void => {
    this.#frames.push(frame);
    this.#inflated = inflated;
    if (this.#isClosed) {
      process.nextTick(() => this.close());
      return;
    }
    if (!isLast) {
      process.nextTick(() => this.#answer(null, NOTHING));
      return;
    }
    const data = Buffer.concat([...this.#frames, TAIL]);
    this.#frames = [];
    this.#waiting = data;
    process.nextTick(() => this.goOn());
  };

  /** Inflates the message that waits, if the connection is ready for it. */
  goOn(): void {
    const data = this.#waiting;
    if (data === undefined || this.#isClosed || !this.#options.isReady()) return;
    this.#waiting = undefined;
    this.#inflate(data).catch((error: unknown) => {
      // `ws` is told when the socket has closed.
      if (!this.#isClosed) this.#options.refuse(toSyncError(error));
    });
  }

  /** The socket has closed. `ws` waits for an answer until it says so. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = undefined;
    this.#options.arrived.close();
    this.#answer(new Error('the socket has closed'));
  }

  async #inflate(data: Buffer): Promise<void> {
    const message = this.#inflateShort(data) ?? (await this.#inflateLong(data));
    this.#bytesInTurn += message.length;
    if (this.#bytesInTurn > UNCOUNTED_BYTES) {
      // Others have their turn.
      await new Promise(setImmediate);
      this.#bytesInTurn = 0;
    }
    this.#options.arrived.inflated(data.length - TAIL.length);
    this.#answer(null, message);
  }

  /** @returns `undefined` if it is not short */
  #inflateShort(data: Buffer): Buffer | undefined {
    if (data.length > SHORT_BYTES) return undefined;
    const max = this.#options.max();
    const maxOutputLength = Math.min(max.bytes, UNCOUNTED_BYTES);
    try {
      return inflateRawSync(data, { ...FLUSH, maxOutputLength });
    } catch (error) {
      if (!isTooLong(error)) throw notInflatable(error);
      if (maxOutputLength === max.bytes) throw tooLarge(ENCODING.what, max);
      return undefined;
    }
  }

  async #inflateLong(data: Buffer): Promise<Buffer> {
    await this.#grow(INFLATER_BYTES);
    const inflater = createInflateRaw({ ...FLUSH, chunkSize: UNCOUNTED_BYTES });
    const size = { max: this.#options.max(), grow: (bytes: number) => this.#grow(bytes) };
    return await decodeWithin(inflater, data, ENCODING, size);
  }

  async #grow(bytes: number): Promise<void> {
    await this.#options.arrived.expand(bytes);
    if (this.#isClosed) throw new Error('the socket has closed');
  }

  #answer(error: Error | null, data?: Buffer): void {
    const inflated = this.#inflated;
    this.#inflated = undefined;
    inflated?.(error, data);
  }
}

function isTooLong(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

function notInflatable(cause: unknown): SyncError {
  const { what, encoding } = ENCODING;
  return new SyncError('MESSAGE_ERROR', `the ${what} is not valid ${encoding}`, { cause });
}
