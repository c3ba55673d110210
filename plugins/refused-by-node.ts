/**
 * Refuses requests that Node.js would refuse by itself, without a body that says why and so that no web page can
 * read it: without `Host`, and with an `Expect` that nobody knows.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SyncError } from '../src/errors/sync-error.ts';
import { sendError } from './errors.ts';

export interface RefusedByNodeOptions {
  /** Called before it is answered. */
  onRefusal(error: SyncError, request: FastifyRequest, reply: FastifyReply): void;
}

/** For the whole app, on a server with `requireHostHeader: false`. */
export default fp<RefusedByNodeOptions>(
  async (app, { onRefusal }) => {
    app.server.on('checkExpectation', (request, response) => {
      app.server.emit('request', request, response);
    });
    app.addHook('onRequest', (request, reply, done) => {
      const fault = faultOf(request);
      if (fault === undefined) {
        done();
        return;
      }
      const error = new SyncError('MESSAGE_ERROR', fault);
      onRefusal(error, request, reply);
      // A body that was not sent must not be taken for the next request.
      reply.header('Connection', 'close');
      sendError(reply, error);
    });
  },
  { name: 'sync-coordinator-refused-by-node', fastify: '5.x' },
);

function faultOf({ raw: { headers, httpVersion } }: FastifyRequest): string | undefined {
  if (headers.host === undefined && httpVersion === '1.1')
    return 'a request of HTTP/1.1 has a Host';
  const { expect } = headers;
  if (expect !== undefined && !/^100-continue$/i.test(expect)) return 'Expect may be 100-continue';
  return undefined;
}
