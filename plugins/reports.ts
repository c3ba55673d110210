/**
 * What the server says of itself to whoever asks: `GET /metrics` for Prometheus, and `GET /status`. Nobody is
 * asked for credentials, so what they cost is shared by all who ask.
 */

import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SharedReport } from '../src/metrics/shared-report.ts';

export default fp(
  async (app) => {
    const { coordinator: service, coordinatorMetrics: metrics, coordinatorHooks: hooks } = app;
    const { registry } = metrics;
    const metricsReport = new SharedReport(() => registry.metrics());
    const statusReport = new SharedReport(async () => {
      // What it says of the store shall be of now.
      await service.unreadiness();
      const { statusLines } = hooks;
      const own = Object.keys(statusLines).length === 0 ? {} : { hooks: statusLines };
      return JSON.stringify({ ok: true, data: { ...service.status(), ...own } });
    });
    // Of the whole server, whichever database is named.
    for (const prefix of ['', '/:databaseId']) {
      const config = { isHealthCheck: true };
      app.get(`${prefix}/metrics`, { config }, async (_request, reply) => {
        reply.type(registry.contentType);
        return metricsReport.get();
      });
      app.get(
        `${prefix}/status`,
        async ({ params }: FastifyRequest<{ Params: { databaseId?: string } }>, reply) => {
          if (params.databaseId !== undefined) service.checkDatabaseId(params.databaseId);
          reply.type('application/json; charset=utf-8');
          return statusReport.get();
        },
      );
    }
  },
  {
    name: 'sync-coordinator-reports',
    fastify: '5.x',
    dependencies: [
      'sync-coordinator-metrics',
      'sync-coordinator-service',
      'sync-coordinator-errors',
    ],
  },
);
