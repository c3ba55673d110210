/** Room in memory for the bodies of requests, and reading them into it. */

import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { bodyEncodingOf, decodeBody } from '../src/service/body-encoding.ts';
import type { ByteBudget } from '../src/service/byte-budget.ts';
import { collectBody } from '../src/service/request-body.ts';
import { onceClosed } from './http-client.ts';

export interface RequestRoomOptions {
  budget: ByteBudget;
  /** Who is counted for it. */
  holder: string;
  headers: IncomingHttpHeaders;
  bytesMax: number;
  reply: FastifyReply;
}

export class RequestRoom {
  readonly #options: RequestRoomOptions;
  readonly #encoding: string | undefined;
  #heldBytes = 0;

  /** @throws SyncError UNSUPPORTED_ENCODING */
  constructor(options: RequestRoomOptions) {
    this.#options = options;
    this.#encoding = bodyEncodingOf(options.headers);
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

  /** For all that is sent, until the request has been answered: to be asked for before a byte is read. */
  async open(): Promise<void> {
    const { budget, holder, reply } = this.#options;
    await budget.take(holder, this.#bytes);
    this.#hold(this.#bytes);
    onceClosed(reply, () => this.#give());
  }

  get #bytes(): number {
    const { bytesMax } = this.#options;
    return Math.min(this.#announced ?? bytesMax, bytesMax);
  }

  /** Until the request has been answered; where it has gone meanwhile, no longer. */
  #hold(bytes: number): void {
    const { budget, holder, reply } = this.#options;
    if (reply.raw.destroyed) budget.give(holder, bytes);
    else this.#heldBytes += bytes;
  }

  #give(): void {
    const { budget, holder } = this.#options;
    budget.give(holder, this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** For what it turns out to be when it is decoded. */
  async #grow(bytes: number): Promise<void> {
    const { budget, holder } = this.#options;
    await budget.take(holder, bytes, this);
    this.#hold(bytes);
  }

  /** @throws SyncError of `collectBody` and `decodeBody` */
  async read(stream: Readable): Promise<Buffer> {
    const { bytesMax } = this.#options;
    const body = await collectBody(stream, { announced: this.#announced, bytesMax });
    if (this.#encoding === undefined) return body;
    const grow = (bytes: number) => this.#grow(bytes);
    // What was sent is held beside it.
    const decoded = decodeBody(body, this.#encoding, { bytesMax, held: 0, grow });
    return decoded.finally(() => this.#options.budget.ended(this));
  }
}
