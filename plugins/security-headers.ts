/**
 * Tells browsers that every answer is data: not to be framed, executed, or given another type. HSTS
 * is left to the proxy.
 */

import helmet from '@fastify/helmet';
import fp from 'fastify-plugin';

export default fp(
  async (app) => {
    // An app around the coordinator may use helmet itself, which then decides.
    if (app.hasReplyDecorator('helmet')) return;
    await app.register(helmet, {
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
      },
      // `cors.origin` decides which pages may read an answer.
      crossOriginResourcePolicy: { policy: 'cross-origin' },
      frameguard: { action: 'deny' },
      hsts: false,
    });
  },
  { name: 'sync-coordinator-security-headers', fastify: '5.x' },
);
