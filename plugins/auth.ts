/** Loads the hook modules, and reads the credentials of HTTP requests. */

import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isSiteIdText, textToSiteId } from '../src/clock/site-id.ts';
import { SyncError, toSyncError } from '../src/errors/sync-error.ts';
import type { AuthRequest } from '../src/hooks/chain/chain.ts';
import { HookHost } from '../src/hooks/chain/hook-host.ts';
import { plainAddress, sourceOf } from '../src/hooks/client-source.ts';
import { createHookMetrics, markHookMetrics } from '../src/hooks/hook-metrics.ts';
import type { CodeHooks } from '../src/hooks/loading/code-hooks.ts';
import { noteForbidden, RefusalLog } from '../src/service/admission/refusal-log.ts';
import { LateReader } from '../src/service/databases/database-reader.ts';
import { LateAccess } from '../src/service/late-access.ts';
import { serveModuleRoutes } from './module-routes.ts';

export interface AuthPluginOptions {
  /** Hooks given in code. They come after those that the configuration names. */
  hooks?: CodeHooks;
}

/**
 * The type of `app.readCredentials`. It is not repeated below, so that the compiler drops the
 * import from the published types.
 * @throws SyncError NOT_AUTHENTICATED, MESSAGE_ERROR
 */
type ReadCredentials = (request: FastifyRequest, databaseId: string) => AuthRequest;

declare module 'fastify' {
  interface FastifyInstance {
    coordinatorHooks: HookHost;
    /** Reads the databases for hook modules, once the service has bound it. */
    hookReader: LateReader;
    /** Calls the service for hook modules, once bound likewise. */
    hookAccess: LateAccess;
    readCredentials: ReadCredentials;
    /** Logs clients that were refused. */
    refusalLog: RefusalLog;
  }
}

function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization === '') return undefined;
  return authorization.replace(/^Bearer +/i, '');
}

function readCredentials(request: FastifyRequest, databaseId: string): AuthRequest {
  const { headers, ip, id: requestId } = request;
  const siteId = headers['x-site-id'];
  if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'X-Site-Id is required');
  if (!isSiteIdText(siteId)) {
    throw new SyncError('MESSAGE_ERROR', 'X-Site-Id: must be 22 characters of base64url');
  }
  return {
    token: bearerToken(headers.authorization),
    siteId: textToSiteId(siteId),
    databaseId,
    transport: 'http',
    headers,
    remoteAddress: plainAddress(ip),
    requestId,
  };
}

export default fp<AuthPluginOptions>(
  async (app, { hooks }) => {
    const { coordinatorConfig: config, coordinatorMetrics: metrics } = app;
    const stopping = new AbortController();
    const read = new LateReader();
    const service = new LateAccess();
    const refusals = new RefusalLog();
    const host = await HookHost.load(config, {
      codeHooks: hooks,
      surroundings: {
        metricsOf: (module) => createHookMetrics(module, metrics.registry),
        ...{ read, service, serveRoutes: serveModuleRoutes(app) },
        markMetrics: () => markHookMetrics(metrics.registry),
      },
      signal: stopping.signal,
      observer: metrics.hookObserver,
      forbidden: (...no) => noteForbidden(refusals, ...no),
    });
    app.decorate('coordinatorHooks', host);
    app.decorate('hookReader', read);
    app.decorate('hookAccess', service);
    app.decorate('readCredentials', (request, databaseId) => {
      try {
        return readCredentials(request, databaseId);
      } catch (error) {
        const { code, message: reason } = toSyncError(error);
        const { headers, ip } = request;
        const address = plainAddress(ip);
        const refused = { what: 'http login', code, databaseId, address, reason };
        refusals.add(sourceOf({ remoteAddress: address, headers }), refused);
        throw error;
      }
    });
    app.decorate('refusalLog', refusals);
    // By then the service has closed the modules, if it was set up.
    app.addHook('onClose', async () => {
      stopping.abort();
      await host.close(config.limits.shutdownMs);
      refusals.flush();
    });
  },
  {
    name: 'sync-coordinator-auth',
    fastify: '5.x',
    dependencies: ['sync-coordinator-config', 'sync-coordinator-metrics'],
  },
);
