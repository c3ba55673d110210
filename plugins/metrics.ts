/** Makes the metrics, in which the other plugins count. `reports.ts` publishes them. */

import fp from 'fastify-plugin';
import { createMetrics, type Metrics } from '../src/metrics/metrics.ts';

declare module 'fastify' {
  interface FastifyInstance {
    coordinatorMetrics: Metrics;
  }
}

export default fp(
  async (app) => {
    app.decorate('coordinatorMetrics', createMetrics());
  },
  { name: 'sync-coordinator-metrics', fastify: '5.x' },
);
