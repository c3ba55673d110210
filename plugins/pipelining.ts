/**
 * One request at a time for each connection. Node.js hands over all that has arrived at once, 64 KB full of
 * requests, and would have every answer made and kept until those before it have been taken. Here the
 * next one waits, as the few bytes that it is, until the one before it is answered.
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
  /** A connection had more waiting than may, and was closed. */
  onLimit(): void;
  /** It is registered for the whole app, and so knows every request of a connection. */
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
    /** Of connections with a request that is not answered yet: those that came after it. */
    const busy = new WeakMap<Duplex, Waiting[]>();

    const begin = (socket: Duplex, { reply, go }: Waiting) => {
      reply.raw.once('close', () => {
        const next = busy.get(socket)?.shift();
        if (next === undefined) busy.delete(socket);
        // What came before an end of the connection is not begun after it.
        else if (!socket.destroyed) begin(socket, next);
      });
      go();
    };

    app.addHook('onRequest', (request, reply, done) => {
      const { socket } = request.raw;
      // Nothing follows an upgrade; what comes before one is seen to below.
      if (request.ws) {
        done();
        return;
      }
      const waiting = busy.get(socket);
      if (waiting === undefined) {
        busy.set(socket, []);
        begin(socket, { reply, go: done });
      } else if (socket.destroyed) {
        // The rest of what had arrived with the one that was too many.
      } else if (waiting.length < pipelinedRequests) {
        waiting.push({ reply, go: done });
      } else {
        waiting.length = 0;
        socket.destroy();
        onLimit();
      }
    });

    if (!isWholeApp) return;
    // Nobody would read or close it: the answer before it and the upgrade can't both have the connection.
    app.server.prependListener('upgrade', (_request, stream) => {
      if (busy.has(stream)) stream.destroy();
    });
  },
  { name: 'sync-coordinator-pipelining', fastify: '5.x' },
);
