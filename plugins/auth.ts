/** The hook chain, and what every HTTP route of a sync operation needs of it: who asks. */

import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isSiteIdText, textToSiteId } from '../src/clock/site-id.ts';
import { SyncError } from '../src/errors.ts';
import { type AuthRequest, createHookChain, type HookChain } from '../src/hooks/chain.ts';
import { loadHooks } from '../src/hooks/loader.ts';
import type { CoordinatorHooks, LoadedHooks } from '../src/hooks/types.ts';

export interface AuthPluginOptions {
  /** From code; they come after those that the config names. */
  hooks?: CoordinatorHooks;
}

/**
 * Not written out below: the compiler then drops the import from the published types.
 * @throws SyncError NOT_AUTHENTICATED, MESSAGE_ERROR
 */
type ReadCredentials = (request: FastifyRequest, databaseId: string) => AuthRequest;

declare module 'fastify' {
  interface FastifyInstance {
    coordinatorHooks: { chain: HookChain; modules: readonly LoadedHooks[] };
    readCredentials: ReadCredentials;
  }
}

function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization === '') return undefined;
  return authorization.replace(/^Bearer +/i, '');
}

function readCredentials(request: FastifyRequest, databaseId: string): AuthRequest {
  const { headers, ip: remoteAddress } = request;
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
    remoteAddress,
  };
}

export default fp<AuthPluginOptions>(
  async (app, { hooks }) => {
    const { coordinatorConfig: config, coordinatorMetrics: metrics } = app;
    const stopping = new AbortController();
    const modules = await loadHooks(config, hooks);
    const chain = createHookChain(modules, {
      timeoutMs: config.hooks.timeoutMs,
      signal: stopping.signal,
      observe: (hook, _module, outcome, seconds) => {
        metrics.hookCalls.inc({ hook, outcome });
        metrics.hookSeconds.observe({ hook }, seconds);
      },
    });
    app.decorate('coordinatorHooks', { chain, modules });
    app.decorate('readCredentials', readCredentials);
    app.addHook('onClose', () => stopping.abort());
  },
  {
    name: 'sync-coordinator-auth',
    fastify: '5.x',
    dependencies: ['sync-coordinator-config', 'sync-coordinator-metrics'],
  },
);
