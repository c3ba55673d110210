/** Which origins a browser may call from, over HTTP and WebSocket. */

import cors from '@fastify/cors';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SyncError } from '../src/errors/sync-error.ts';
import { isOriginAllowed, originToCors } from '../src/service/origins.ts';

export default fp(
  async (app) => {
    const { cors: config } = app.coordinatorConfig;
    app.addHook('onRequest', async ({ headers: { origin } }) => {
      if (isOriginAllowed(config.origin, origin)) return;
      throw new SyncError('NOT_AUTHORIZED', 'cors.origin does not name the origin of this page');
    });
    // An app that the coordinator is registered into may have CORS of its own: that one tells browsers.
    if (app.hasRequestDecorator('corsPreflightEnabled')) return;
    // What is none is no request of ours, and answered as such. (The plugin would answer it in plain text.)
    app.addHook('onRequest', async ({ method, headers }) => {
      const isPreflight = headers.origin && headers['access-control-request-method'];
      if (method !== 'OPTIONS' || isPreflight) return;
      throw new SyncError('NOT_FOUND', 'there is no such route');
    });
    await app.register(cors, {
      delegator: async ({ headers }: FastifyRequest) => ({
        ...originToCors(config, headers.origin),
        methods: ['GET', 'POST'],
        exposedHeaders: ['Retry-After'],
      }),
    });
  },
  { name: 'sync-coordinator-cors', fastify: '5.x', dependencies: ['sync-coordinator-config'] },
);
