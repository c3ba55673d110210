/** The metrics, and where Prometheus gets them: `GET /metrics`. */

import fp from 'fastify-plugin';
import { createMetrics, type Metrics } from '../src/service/metrics.ts';

declare module 'fastify' {
  interface FastifyInstance {
    coordinatorMetrics: Metrics;
  }
}

export default fp(
  async (app) => {
    const metrics = createMetrics();
    app.decorate('coordinatorMetrics', metrics);
    // Of the whole server, whichever database is named.
    for (const path of ['/metrics', '/:databaseId/metrics']) {
      app.get(path, async (_request, reply) => {
        reply.type(metrics.registry.contentType);
        return metrics.registry.metrics();
      });
    }
  },
  { name: 'sync-coordinator-metrics', fastify: '5.x' },
);
