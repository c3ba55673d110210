/** An answer over HTTP that is a stream, compressed where the client accepts that. */

import type { Readable, Transform, Writable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { SyncError } from '../src/errors/sync-error.ts';
import type { HoldingPeer } from '../src/service/budgets/holdings.ts';
import {
  answerEncodingOf,
  COMPRESSOR_BYTES,
  encodeAnswer,
  isWorthEncoding,
} from '../src/service/http/answer-encoding.ts';
import { sendError } from './errors.ts';

export class AnswerStream implements HoldingPeer {
  readonly #reply: FastifyReply;
  readonly #encoding: string | undefined;
  #encoder: Transform | undefined;

  constructor({ headers, server }: FastifyRequest, reply: FastifyReply) {
    this.#reply = reply;
    if (!server.coordinatorConfig.compression.http) return;
    this.#encoding = answerEncodingOf(headers['accept-encoding']);
  }

  /** The memory to be reserved for compressing. */
  get encoderBytes(): number {
    return this.#encoding === undefined ? 0 : COMPRESSOR_BYTES;
  }

  /** What the client has not taken yet. */
  get queuedBytes(): number {
    const { writableLength = 0, readableLength = 0 } = this.#encoder ?? {};
    return writableLength + readableLength + this.#reply.raw.writableLength;
  }

  moved(): number {
    const { socket } = this.#reply.raw;
    return socket === null ? 0 : socket.bytesWritten - socket.writableLength;
  }

  get isAwaited(): boolean {
    return this.queuedBytes > 0;
  }

  giveWay(reason: SyncError): void {
    // Once the headers have been sent it cannot be told.
    if (this.#reply.raw.headersSent) this.#reply.raw.destroy();
    else sendError(this.#reply, reason);
  }

  /** @param length in bytes, if it is known */
  send(source: Readable, type: string, length?: number): FastifyReply {
    if (this.#reply.sent) {
      // It had to give way.
      source.destroy();
      return this.#reply;
    }
    const reply = this.#reply.type(type);
    if (reply.server.coordinatorConfig.compression.http) addToVary(reply, 'Accept-Encoding');
    if (this.#encoding === undefined || (length !== undefined && !isWorthEncoding(length))) {
      if (length !== undefined) reply.header('Content-Length', length);
      return reply.send(source);
    }
    this.#encoder = encodeAnswer(source, this.#encoding);
    return reply.header('Content-Encoding', this.#encoding).send(this.#encoder);
  }

  /** Resolves once the client has taken nearly all that the source gave out, or has gone. */
  async drained(): Promise<void> {
    // What a stream has just given out reaches the next one in the next turn.
    await new Promise(setImmediate);
    if (this.#encoder !== undefined) await drain(this.#encoder);
    await drain(this.#reply.raw);
  }
}

async function drain(stream: Writable): Promise<void> {
  if (stream.destroyed || !stream.writableNeedDrain) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      stream.off('drain', end).off('close', end);
      resolve();
    };
    stream.on('drain', end).on('close', end);
  });
}

/** Beside what `plugins/cors.ts` says there. */
function addToVary(reply: FastifyReply, field: string): void {
  const others = reply.getHeader('Vary');
  reply.header('Vary', others === undefined ? field : `${others}, ${field}`);
}
