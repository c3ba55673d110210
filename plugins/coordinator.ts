/**
 * The whole coordinator as one Fastify plugin, in a scope of its own: what it decorates and handles
 * stays within the prefix that it is registered under.
 *
 * app.register(coordinator, { prefix: '/sync', config, hooks })
 */

import type { FastifyPluginAsync } from 'fastify';
import type { HookHost } from '../src/hooks/chain/hook-host.ts';
import { keepLoaders } from '../src/modules/import-module.ts';
import type { CoordinatorService } from '../src/service/coordinator-service.ts';
import auth, { type AuthPluginOptions } from './auth.ts';
import config, { type ConfigPluginOptions } from './config.ts';
import cors from './cors.ts';
import errors from './errors.ts';
import health from './health.ts';
import hookRoutes from './hook-routes.ts';
import metrics from './metrics.ts';
import pipelining from './pipelining.ts';
import reports from './reports.ts';
import routes from './routes.ts';
import securityHeaders from './security-headers.ts';
import service, { type ServicePluginOptions } from './service.ts';
import websocket from './websocket.ts';
import ws from './ws.ts';

export interface CoordinatorPluginOptions
  extends ConfigPluginOptions,
    AuthPluginOptions,
    ServicePluginOptions {
  /** Called with the parts once they are set up. */
  onReady?(parts: CoordinatorParts): void;
}

export interface CoordinatorParts {
  service: CoordinatorService;
  /** A description of the storage, for people. */
  storage: string;
  hooks: HookHost;
}

const coordinator: FastifyPluginAsync<CoordinatorPluginOptions> = async (app, options) => {
  const { config: given, hooks, world, onReady } = options;
  const releaseLoaders = keepLoaders();
  // Hooks of `onClose` run in reverse order, so this one runs last.
  app.addHook('onClose', async () => releaseLoaders());
  await app.register(config, { config: given });
  await app.register(websocket, {
    limits: app.coordinatorConfig.limits,
    compression: app.coordinatorConfig.compression,
    isForPages: app.coordinatorConfig.cors.origin !== false,
  });
  await app.register(pipelining, {
    limits: app.coordinatorConfig.limits,
    onLimit: () => app.coordinatorMetrics.limitMet('limits.pipelinedRequests'),
  });
  await app.register(securityHeaders);
  await app.register(metrics);
  await app.register(errors);
  // After the error handler, which then also answers for the preflight route.
  await app.register(cors);
  await app.register(auth, { hooks });
  await app.register(service, { world });
  await app.register(health);
  await app.register(reports);
  await app.register(routes);
  await app.register(hookRoutes);
  await app.register(ws);
  const { coordinator, storageDescription, coordinatorHooks } = app;
  onReady?.({
    service: coordinator,
    storage: storageDescription,
    hooks: coordinatorHooks,
  });
};

export default coordinator;
