/** Which origins a browser may call the HTTP routes from. */

import cors from '@fastify/cors';
import fp from 'fastify-plugin';
import { isOriginAllowed } from '../src/service/origins.ts';

export default fp(
  async (app) => {
    // An app that the coordinator is registered into may have CORS of its own: that one holds.
    if (app.hasRequestDecorator('corsPreflightEnabled')) return;
    const { origin, credentials } = app.coordinatorConfig.cors;
    await app.register(cors, {
      origin: async (asking?: string) => isOriginAllowed(origin, asking),
      credentials,
      methods: ['GET', 'POST'],
      exposedHeaders: ['Retry-After'],
    });
  },
  { name: 'sync-coordinator-cors', fastify: '5.x', dependencies: ['sync-coordinator-config'] },
);
