/**
 * Reports on the server: `GET /metrics` for Prometheus, and `GET /status`. They need no
 * credentials, so all callers at a time share one report, and its cost.
 */

import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SharedReport } from '../src/metrics/shared-report.ts';
import { assertDatabaseId } from '../src/storage/database-id.ts';

export default fp(
  async (app) => {
    const { coordinator: service, coordinatorMetrics: metrics, coordinatorHooks: hooks } = app;
    const { registry } = metrics;
    const metricsReport = new SharedReport(() => registry.metrics());
    const statusReport = new SharedReport(async () => {
      // Asks the storage, so that the status of the store is current.
      await service.unreadiness();
      const { statusLines } = hooks;
      const own = Object.keys(statusLines).length === 0 ? {} : { hooks: statusLines };
      return JSON.stringify({ ok: true, data: { ...service.status(), ...own } });
    });
    // The reports are of the whole server, whichever database is named.
    for (const prefix of ['', '/:databaseId']) {
      const onRequest = async ({ params }: FastifyRequest<{ Params: { databaseId?: string } }>) => {
        if (params.databaseId !== undefined) assertDatabaseId(params.databaseId);
      };
      const config = { isHealthCheck: true };
      app.get(`${prefix}/metrics`, { config, onRequest }, async (_request, reply) => {
        reply.type(registry.contentType);
        return metricsReport.get();
      });
      app.get(`${prefix}/status`, { onRequest }, async (_request, reply) => {
        reply.type('application/json; charset=utf-8');
        return statusReport.get();
      });
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
