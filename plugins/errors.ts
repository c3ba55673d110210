/** Answers every failed HTTP request alike: `{ok: false, error: {code, message}}`. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isClientGone } from '../src/errors/client-gone.ts';
import { internalCause, SyncError, toSyncError } from '../src/errors/sync-error.ts';
import { sourceOf } from '../src/hooks/client-source.ts';
import { BoundedLog } from '../src/logging/bounded-log.ts';
import { createLogger } from '../src/logging/logger.ts';
import type { ErrorCode } from '../src/protocol/error-codes.ts';
import { HTTP_STATUSES } from '../src/protocol/http-statuses.ts';
import { BODY_ENCODINGS } from '../src/service/http/body-encoding.ts';

const logger = createLogger('sync-coordinator:http');

declare module 'fastify' {
  interface FastifyInstance {
    /** Failures while requests were answered. */
    httpFaults: BoundedLog;
  }
}

/** The coordinator's codes for refusals of Fastify. */
const CODES_BY_STATUS: Record<number, ErrorCode> = {
  400: 'MESSAGE_ERROR',
  404: 'NOT_FOUND',
  413: 'TOO_LARGE',
  415: 'MESSAGE_ERROR',
  429: 'RATE_LIMITED',
  503: 'OVERLOADED',
};

/** Translates refusals of Fastify, with or without a route, into the coordinator's errors. */
export function fromFastify(error: FastifyError): SyncError {
  // Fastify's message repeats the whole path.
  if (error.code === 'FST_ERR_BAD_URL') return new SyncError('MESSAGE_ERROR', 'malformed URL');
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return new SyncError('INVALID_DATABASE_ID', 'the database id is too long');
  }
  const code = CODES_BY_STATUS[error.statusCode ?? 500];
  if (code === undefined) return toSyncError(error);
  const isTooLarge = error.code === 'FST_ERR_CTP_BODY_TOO_LARGE';
  return new SyncError(code, error.message, isTooLarge ? { limit: 'limits.messageBytes' } : {});
}

export function sendError(
  reply: FastifyReply,
  { code, message, retryAfterMs, serverTimeMs }: SyncError,
) {
  const status = HTTP_STATUSES[code];
  if (status === 429 || status === 503) {
    reply.header('Retry-After', Math.max(1, Math.ceil((retryAfterMs ?? 1000) / 1000)));
  }
  if (status === 415) reply.header('Accept-Encoding', BODY_ENCODINGS.join(', '));
  return reply.code(status).send({ ok: false, error: { code, message, serverTimeMs } });
}

/** Status lines for input that Node.js cannot read as a request. */
const STATUS_LINES: Partial<Record<ErrorCode, string>> = {
  REQUEST_TIMEOUT: '408 Request Timeout',
  TOO_LARGE: '431 Request Header Fields Too Large',
};

function fromNode({ code }: NodeJS.ErrnoException): SyncError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const limit = 'limits.requestTimeoutMs';
    return new SyncError('REQUEST_TIMEOUT', `not whole within ${limit}`, { limit });
  }
  if (code === 'HPE_HEADER_OVERFLOW') return new SyncError('TOO_LARGE', 'too large headers');
  return new SyncError('MESSAGE_ERROR', 'not a request of HTTP/1.1');
}

/**
 * Answers input on a connection that could not be read as a request, and closes the connection.
 * @param isForPages whether web pages may read the error. Its origin is not known, and it holds no data.
 * @returns the error that was sent; `undefined` if the client has gone
 */
export function answerNoRequest(
  error: NodeJS.ErrnoException,
  socket: Socket,
  isForPages: boolean,
): SyncError | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const known = fromNode(error);
  answerAndClose(known, socket, isForPages);
  return known;
}

/** For what has no `reply`. @param headers further lines */
export function answerAndClose(
  { code, message }: SyncError,
  socket: Duplex,
  isForPages: boolean,
  headers: readonly string[] = [],
): void {
  const body = JSON.stringify({ ok: false, error: { code, message } });
  socket.end(
    [
      `HTTP/1.1 ${STATUS_LINES[code] ?? '400 Bad Request'}`,
      'Content-Type: application/json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'X-Content-Type-Options: nosniff',
      ...(isForPages ? ['Access-Control-Allow-Origin: *'] : []),
      ...headers,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  if (socket instanceof Socket) socket.destroySoon();
}

/** Without the query: some clients put their token there, although it is never read. */
function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? '';
}

/**
 * Sets the error handler and the handler for unknown routes.
 * @param errorSent called with every error that is answered to a client that is still there
 * @param faults logs the errors that the operator has to see
 */
export function answerErrors(
  app: FastifyInstance,
  errorSent: (error: SyncError) => void,
  faults: BoundedLog,
): void {
  const note = (error: SyncError, request: FastifyRequest) => {
    errorSent(error);
    const cause = internalCause(error);
    if (cause === undefined) return;
    const { method, ip: remoteAddress, headers, routeOptions } = request;
    const topic = `${method} ${routeOptions.url ?? ''}`;
    const what = `${method} ${pathOf(request)}`;
    faults.addError(topic, sourceOf({ remoteAddress, headers }), cause, what);
  };
  app.setErrorHandler<FastifyError | SyncError>((error, request, reply) => {
    const known = error instanceof SyncError ? error : fromFastify(error);
    if (!isClientGone(known)) note(known, request);
    return sendError(reply, known);
  });
  app.setNotFoundHandler(() => {
    throw new SyncError('NOT_FOUND', 'there is no such route');
  });
}

export default fp(
  async (app) => {
    const faults = new BoundedLog({ logger, level: 'error', verb: 'failed' });
    app.decorate('httpFaults', faults);
    app.addHook('onClose', async () => faults.flush());
    answerErrors(app, app.coordinatorMetrics.errorSent, faults);
    app.addHook('onResponse', async (request, reply) => {
      logger('%s %s %d', request.method, pathOf(request), reply.statusCode);
    });
  },
  {
    name: 'sync-coordinator-errors',
    fastify: '5.x',
    dependencies: ['sync-coordinator-metrics'],
  },
);
