/**
 * For load balancers and Kubernetes: whether this process is alive (`/livez`), and whether clients
 * should be sent to it (`/readyz`). Asks no hooks, and answers until the server stops listening.
 */

import fp from 'fastify-plugin';
import { sendError } from './errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered also while the server is stopping. */
    isHealthCheck?: boolean;
  }
}

export default fp(
  async (app) => {
    const { coordinator: service } = app;
    const config = { isHealthCheck: true };

    // Doesn't look at the store: a restart of this process would not mend it.
    app.get('/livez', { config }, async (_request, reply) => {
      reply.header('Cache-Control', 'no-store');
      return { ok: true, data: { live: true } };
    });

    app.get('/readyz', { config }, async (_request, reply) => {
      reply.header('Cache-Control', 'no-store');
      const refusal = await service.unreadiness();
      // Sent directly, so that it is neither counted nor logged as an error of a client.
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
