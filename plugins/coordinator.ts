/**
 * The whole coordinator as one Fastify plugin, in a scope of its own: what it decorates
 * and handles stays within the prefix that it is registered under.
 *
 *     app.register(coordinator, { prefix: '/sync', config, hooks })
 */

import type { FastifyPluginAsync } from 'fastify';
import type { LoadedHooks } from '../src/hooks/types.ts';
import type { CoordinatorService } from '../src/service/coordinator-service.ts';
import auth, { type AuthPluginOptions } from './auth.ts';
import config, { type ConfigPluginOptions } from './config.ts';
import cors from './cors.ts';
import errors from './errors.ts';
import metrics from './metrics.ts';
import routes from './routes.ts';
import service from './service.ts';
import websocket from './websocket.ts';
import ws from './ws.ts';

export interface CoordinatorPluginOptions extends ConfigPluginOptions, AuthPluginOptions {
  /** Told what has been set up, once it is. */
  onReady?(parts: CoordinatorParts): void;
}

export interface CoordinatorParts {
  service: CoordinatorService;
  /** What the data is kept in, for people. */
  storage: string;
  hooks: readonly LoadedHooks[];
}

const coordinator: FastifyPluginAsync<CoordinatorPluginOptions> = async (app, options) => {
  const { config: given, hooks, onReady } = options;
  await app.register(config, { config: given });
  await app.register(websocket, { limits: app.coordinatorConfig.limits });
  await app.register(cors);
  await app.register(metrics);
  await app.register(errors);
  await app.register(auth, { hooks });
  await app.register(service);
  await app.register(routes);
  await app.register(ws);
  const { coordinator, storageDescription, coordinatorHooks } = app;
  onReady?.({
    service: coordinator,
    storage: storageDescription,
    hooks: coordinatorHooks.modules,
  });
};

export default coordinator;
