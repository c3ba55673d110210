/**
 * Protects against DNS rebinding: a web page has the name of its own site resolve to this machine.
 * For the browser it then has the same origin as a server that listens only on the loopback and
 * asks for no credentials. But its requests still name that site in `Host`.
 */

import fp from 'fastify-plugin';
import { isLoopback, isLoopbackHost } from '../src/config/loopback.ts';
import type { CoordinatorConfig } from '../src/config/schema.ts';
import { SyncError } from '../src/errors/sync-error.ts';
import { tellOrigin } from './cors.ts';
import { sendError } from './errors.ts';

export interface LoopbackOnlyOptions {
  config: Pick<CoordinatorConfig, 'auth' | 'cors' | 'host' | 'trustProxy'>;
  onRefusal(error: SyncError): void;
}

/** For the whole app that listens on `host`. */
export default fp<LoopbackOnlyOptions>(
  async (app, { config: { auth, cors, host, trustProxy }, onRefusal }) => {
    // Behind a proxy it is the proxy's names that requests come by.
    if (auth.mode !== 'none' || trustProxy !== false || !isLoopback(host)) return;
    app.addHook('onRequest', (request, reply, done) => {
      const asked = request.headers.host;
      // Every browser sends Host.
      if (asked === undefined || isLoopbackHost(asked)) {
        done();
        return;
      }
      const message =
        'Host names another machine: without credentials only localhost is served here (auth.mode is "none")';
      const error = new SyncError('NOT_AUTHORIZED', message);
      onRefusal(error);
      tellOrigin(reply, cors, request);
      sendError(reply, error);
    });
  },
  { name: 'sync-coordinator-loopback-only', fastify: '5.x' },
);
