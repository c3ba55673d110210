/**
 * Room in memory for the bodies of requests, and reading them into it. A body takes room as it
 * arrives, whatever length it announces: one that never comes holds nothing.
 */

import type { IncomingHttpHeaders } from 'node:http';
import { type Readable, Transform } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { SyncError } from '../src/errors/sync-error.ts';
import type { ByteBudget } from '../src/service/budgets/byte-budget.ts';
import type { Holding } from '../src/service/budgets/holdings.ts';
import { bodyEncodingOf, decodeBody } from '../src/service/http/body-encoding.ts';
import { collectBody } from '../src/service/http/request-body.ts';
import { onceClosed } from './http-client.ts';

/** Bytes below one step are not counted, so that small bodies never wait. */
const STEP_BYTES = 4 * 1024;
/**
 * A body may come in so many chunks of any size, and in more of so many bytes on average, less than any change has. Node.js takes each read
 * apart at once: 64 KiB of chunks of one byte hold everybody up for 30 ms, and so do those of each other connection.
 */
const TINY_CHUNKS_MAX = 1024;
const CHUNK_BYTES_MIN = 64;
const TOO_TINY = `after ${TINY_CHUNKS_MAX} chunks a body must have ${CHUNK_BYTES_MIN} bytes a chunk on average`;

export interface RequestRoomOptions {
  budget: ByteBudget;
  /** Who is counted for it. */
  holder: string;
  headers: IncomingHttpHeaders;
  bytesMax: number;
  reply: FastifyReply;
}

/** What it holds it gives back once the request has been answered, or has gone. */
export class RequestRoom implements Holding {
  readonly #options: RequestRoomOptions;
  readonly #encoding: string | undefined;
  #heldBytes = 0;
  /** The part of it for the body as it was sent. */
  #sentBytes = 0;
  /** What has arrived so far. */
  #arrivedBytes = 0;
  #pieces = 0;
  #isWaiting = false;
  /** While the body arrives, and anything is held for it. */
  #leave: (() => void) | undefined;
  readonly #gaveWay = new AbortController();

  /** @throws SyncError UNSUPPORTED_ENCODING */
  constructor(options: RequestRoomOptions) {
    this.#options = options;
    this.#encoding = bodyEncodingOf(options.headers);
    onceClosed(options.reply, () => this.#give());
  }

  get client(): string {
    return this.#options.holder;
  }

  get bytes(): number {
    return this.#heldBytes;
  }

  moved(): number {
    return this.#arrivedBytes;
  }

  get isAwaited(): boolean {
    return !this.#isWaiting;
  }

  giveWay(reason: SyncError): void {
    this.#give();
    // The rest of it must not be waited for.
    this.#options.reply.header('Connection', 'close');
    this.#gaveWay.abort(reason);
  }

  /** Whether what is read is other than what was sent. */
  get isEncoded(): boolean {
    return this.#encoding !== undefined;
  }

  /** Of what is sent; `undefined` for a body that comes in chunks. */
  get #announced(): number | undefined {
    const length = this.#options.headers['content-length'];
    return length === undefined ? undefined : Number(length);
  }

  #hold(bytes: number): void {
    const { budget, holder, reply } = this.#options;
    if (!reply.raw.destroyed && !this.#gaveWay.signal.aborted) {
      this.#heldBytes += bytes;
      return;
    }
    // It may have been its turn to exceed the bounds.
    budget.ended(this);
    budget.give(holder, bytes);
  }

  #give(): void {
    const { budget, holder } = this.#options;
    this.#ended();
    budget.give(holder, this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** Has arrived, or never will. */
  #ended(): void {
    this.#options.budget.ended(this);
    this.#leave?.();
    this.#leave = undefined;
  }

  /** @returns `undefined` if there is room now */
  #grow(bytes: number): Promise<void> | undefined {
    const { budget, holder } = this.#options;
    const room = budget.take(holder, bytes, this.#heldBytes > 0 ? this : undefined);
    if (room === undefined) {
      this.#hold(bytes);
      return undefined;
    }
    this.#isWaiting = true;
    return room
      .then(() => this.#hold(bytes))
      .finally(() => {
        this.#isWaiting = false;
      });
  }

  /** Of a body without chunks a piece is what came with one read, however little that was. */
  get #isTooTiny(): boolean {
    const { headers } = this.#options;
    if (headers['transfer-encoding'] === undefined || this.#pieces <= TINY_CHUNKS_MAX) return false;
    return this.#arrivedBytes < this.#pieces * CHUNK_BYTES_MIN;
  }

  /** Makes room for so many bytes of what is sent. @returns `undefined` if there is room now */
  readonly #arrive = (bytes: number): Promise<void> | undefined => {
    this.#arrivedBytes = bytes;
    this.#pieces++;
    if (this.#isTooTiny) {
      this.giveWay(new SyncError('MESSAGE_ERROR', TOO_TINY));
      return undefined;
    }
    const steps = Math.floor(Math.min(bytes, this.#options.bytesMax) / STEP_BYTES) * STEP_BYTES;
    const more = steps - this.#sentBytes;
    if (more <= 0) return undefined;
    this.#sentBytes = steps;
    this.#leave ??= this.#options.budget.watch(this);
    return this.#grow(more);
  };

  /** @throws SyncError of `collectBody` and `decodeBody` */
  async read(stream: Readable): Promise<Buffer> {
    const { bytesMax } = this.#options;
    try {
      const size = { announced: this.#announced, bytesMax };
      const { signal } = this.#gaveWay;
      const body = await collectBody(stream, { ...size, arrive: this.#arrive, signal });
      this.#leave?.();
      if (this.#encoding === undefined) return body;
      const grow = async (bytes: number) => this.#grow(bytes);
      // What was sent is held beside it.
      const max = { limit: 'limits.messageBytes', bytes: bytesMax } as const;
      return await decodeBody(body, this.#encoding, { max, grow });
    } finally {
      this.#ended();
    }
  }

  /** A body that somebody else reads: goes on as there is room for it. */
  counted(stream: Readable): Readable {
    let length = 0;
    const counted = new Transform({
      transform: (piece: Buffer, _encoding, passOn) => {
        length += piece.length;
        const room = this.#arrive(length);
        if (room === undefined) passOn(null, piece);
        else room.then(() => passOn(null, piece), passOn);
      },
      flush: (ended) => {
        this.#ended();
        ended();
      },
    });
    stream.pipe(counted);
    stream.once('error', (error) => counted.destroy(error));
    const { signal } = this.#gaveWay;
    signal.addEventListener('abort', () => counted.destroy(signal.reason));
    // What nobody has read is dropped, or else the connection would serve no other request.
    onceClosed(this.#options.reply, () => stream.unpipe(counted).resume());
    return counted;
  }
}

/** Whether a body follows the headers of a request. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
