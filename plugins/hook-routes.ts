/**
 * `<basePath>/hooks/<name>/…`: the routes of hook modules. Each module has a Fastify app of its
 * own, which is made and closed with the module, since a running app takes no further routes.
 * Requests are passed on to it unread.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SyncError } from '../src/errors/sync-error.ts';

export default fp(
  async (app) => {
    const { coordinatorHooks: hooks, coordinator: service } = app;
    app.register(async (scope) => {
      // The module's app reads the body.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.route({
        method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
        url: '/hooks/:module/*',
        handler: async (request: FastifyRequest<{ Params: { module: string } }>, reply) => {
          service.metrics.requests.http.inc('hooks');
          const { module } = request.params;
          const routes = hooks.modules.find((one) => one.routes?.path === module)?.routes;
          if (routes === undefined) throw new SyncError('NOT_FOUND', 'there is no such route');
          handOver(reply);
          routes.handle(request.raw, reply.raw);
        },
      });
    });
  },
  {
    name: 'sync-coordinator-hook-routes',
    fastify: '5.x',
    dependencies: ['sync-coordinator-auth', 'sync-coordinator-service'],
  },
);

/** Passes on the headers that every answer has. */
function handOver(reply: FastifyReply): void {
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  reply.hijack();
}
