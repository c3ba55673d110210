/** Decides from which origins a browser may call, over HTTP and WebSocket. */

import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { CoordinatorConfig } from '../src/config/schema.ts';
import { SyncError } from '../src/errors/sync-error.ts';
import { type Asking, mayCall, originToCors } from '../src/service/admission/origins.ts';

const EXPOSED_HEADERS = ['Retry-After'];
/** How long a browser need not ask again, in seconds: as long as Chrome heeds it. */
const MAX_AGE_SECONDS = 7200;

type CorsConfig = CoordinatorConfig['cors'];

export default fp(
  async (app) => {
    const { cors: config } = app.coordinatorConfig;
    app.addHook('onRequest', async (request) => {
      if (mayCall(config.origin, toAsking(request, isGuarded(app)))) return;
      throw new SyncError('NOT_AUTHORIZED', 'cors.origin does not name the origin of this page');
    });
    // An app around the coordinator may have CORS of its own, which then answers browsers.
    if (app.hasRequestDecorator('corsPreflightEnabled')) return;
    // What is none is no request of ours, and answered as such. (The plugin would answer it in plain text.)
    app.addHook('onRequest', async (request, reply) => {
      const { method, headers } = request;
      const isPreflight = headers.origin && headers['access-control-request-method'];
      if (method !== 'OPTIONS' || isPreflight) return;
      tellOrigin(reply, config, request);
      throw new SyncError('NOT_FOUND', 'there is no such route');
    });
    await app.register(cors, {
      delegator: async (request: FastifyRequest) => ({
        ...originToCors(config, toAsking(request, isGuarded(app))),
        methods: ['GET', 'POST'],
        exposedHeaders: EXPOSED_HEADERS,
        maxAge: MAX_AGE_SECONDS,
      }),
    });
  },
  { name: 'sync-coordinator-cors', fastify: '5.x', dependencies: ['sync-coordinator-config'] },
);

/** Whether hook modules authenticate clients; they are loaded later than this plugin. */
function isGuarded(app: FastifyInstance): boolean {
  return app.hasDecorator('coordinatorHooks') && app.coordinatorHooks.chain.has.onAuthenticate;
}

function toAsking(
  { headers: { origin }, host, protocol }: FastifyRequest,
  isGuarded: boolean,
): Asking {
  return { origin, host: host ?? '', protocol, isGuarded };
}

/** For what is answered before there is a route: a page that may call is to read why it was refused. */
export function tellOrigin(reply: FastifyReply, config: CorsConfig, request: FastifyRequest): void {
  reply.header('Vary', 'Origin');
  const asking = toAsking(request, false);
  const { origin, credentials } = originToCors(config, asking);
  if (origin === false || asking.origin === undefined) return;
  reply.header('Access-Control-Allow-Origin', origin === true ? asking.origin : origin);
  if (credentials) reply.header('Access-Control-Allow-Credentials', 'true');
  reply.header('Access-Control-Expose-Headers', EXPOSED_HEADERS.join(', '));
}
