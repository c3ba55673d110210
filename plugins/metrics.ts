/** The metrics, for the other plugins to count in; `reports.ts` shows them. */

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
