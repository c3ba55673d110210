/**
 * What browsers are told about every answer: it is data, to be shown nowhere and guessed at by
 * nobody. Whether the connection is to be TLS from now on (HSTS) is for the proxy to say.
 */

import helmet from '@fastify/helmet';
import fp from 'fastify-plugin';

export default fp(
  async (app) => {
    // An app that the coordinator is registered into may have helmet of its own: that one holds.
    if (app.hasReplyDecorator('helmet')) return;
    await app.register(helmet, {
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
      },
      // Who may read an answer is what `cors.origin` says.
      crossOriginResourcePolicy: { policy: 'cross-origin' },
      frameguard: { action: 'deny' },
      hsts: false,
    });
  },
  { name: 'sync-coordinator-security-headers', fastify: '5.x' },
);
