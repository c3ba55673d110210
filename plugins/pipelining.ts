/**
 * Serves one request at a time on each connection, and no more after a body in chunks that nobody has read. Node.js hands over all requests that have
 * arrived, up to 64 KB, and would hold all their answers until the earlier ones have been taken.
 * Here a request waits, in the few bytes that it has, until the one before it is answered.
 */

import type { Duplex } from 'node:stream';
import type { FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { CoordinatorConfig } from '../src/config/schema.ts';

declare module 'fastify' {
  interface FastifyInstance {
    hasOneRequestAtATime: true;
  }
}

export interface PipeliningOptions {
  limits: Pick<CoordinatorConfig['limits'], 'pipelinedRequests'>;
  /** A connection had too many requests waiting, and was closed. */
  onLimit(): void;
  /** Set if it is registered for the whole app, and so sees every request of a connection. */
  isWholeApp?: boolean;
}

interface Waiting {
  reply: FastifyReply;
  go(): void;
}

export default fp<PipeliningOptions>(
  async (app, { limits: { pipelinedRequests }, onLimit, isWholeApp }) => {
    if (app.hasDecorator('hasOneRequestAtATime')) return;
    app.decorate('hasOneRequestAtATime', true);
    /** For each connection with a request under way, the requests after it. */
    const busy = new WeakMap<Duplex, Waiting[]>();

    const begin = (socket: Duplex, { reply, go }: Waiting) => {
      reply.raw.once('close', () => {
        const next = busy.get(socket)?.shift();
        if (next === undefined) busy.delete(socket);
        // After the connection has closed no further request is begun.
        else if (!socket.destroyed) begin(socket, next);
      });
      go();
    };

    app.addHook('onRequest', (request, reply, done) => {
      const { socket } = request.raw;
      // Nothing follows an upgrade. Requests before one are handled below.
      if (request.ws) {
        done();
        return;
      }
      const waiting = busy.get(socket);
      if (waiting === undefined) {
        busy.set(socket, []);
        begin(socket, { reply, go: done });
      } else if (socket.destroyed) {
        // Requests that had arrived together with the one that was too many are dropped.
      } else if (waiting.length < pipelinedRequests) {
        waiting.push({ reply, go: done });
      } else {
        waiting.length = 0;
        socket.destroy();
        onLimit();
      }
    });

    // What is left of a body in chunks is read chunk by chunk, however small they are, for nobody.
    app.addHook('onSend', async ({ raw, headers }, reply) => {
      if (!raw.complete && headers['transfer-encoding'] !== undefined) {
        reply.header('Connection', 'close');
      }
    });

    if (!isWholeApp) return;
    // An earlier answer and the upgrade cannot share the connection, so it is closed.
    app.server.prependListener('upgrade', (_request, stream) => {
      if (busy.has(stream)) stream.destroy();
    });
  },
  { name: 'sync-coordinator-pipelining', fastify: '5.x' },
);
