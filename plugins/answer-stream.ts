/** An answer over HTTP that is a stream, compressed where the client accepts that. */

import type { Readable, Transform, Writable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  answerEncodingOf,
  COMPRESSOR_BYTES,
  encodeAnswer,
  isWorthEncoding,
} from '../src/service/http/answer-encoding.ts';

export class AnswerStream {
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

  /** @param length in bytes, if it is known */
  send(source: Readable, type: string, length?: number): FastifyReply {
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
