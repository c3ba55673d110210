/**
 * For load balancers and Kubernetes: whether this process lives (`/livez`), and whether it is to be sent
 * clients (`/readyz`). They pass no hook, and are answered until the server no longer listens.
 */

import fp from 'fastify-plugin';
import { sendError } from './errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Also while the server stops. */
    isHealthCheck?: boolean;
  }
}

export default fp(
  async (app) => {
    const { coordinator: service } = app;
    const config = { isHealthCheck: true };

    // Whatever it is that the store lacks, another process would lack it, too.
    app.get('/livez', { config }, async (_request, reply) => {
      reply.header('Cache-Control', 'no-store');
      return { ok: true, data: { live: true } };
    });

    app.get('/readyz', { config }, async (_request, reply) => {
      reply.header('Cache-Control', 'no-store');
      const refusal = await service.unreadiness();
      // Not as an error that a client met: those are counted, and somebody is told.
      if (refusal !== undefined) return sendError(reply, refusal);
      return { ok: true, data: { ready: true } };
    });
  },
  {
    name: 'sync-coordinator-health',
    fastify: '5.x',
    dependencies: ['sync-coordinator-service', 'sync-coordinator-errors'],
  },
);
