/** Makes the coordinator's service over its storage, and stops it when the app closes. */

import { randomBytes, randomUUID } from 'node:crypto';
import fp from 'fastify-plugin';
import type { World } from '../src/engine/world.ts';
import { SyncError } from '../src/errors/sync-error.ts';
import { PACKAGE_VERSION } from '../src/modules/own-package.ts';
import { CoordinatorService } from '../src/service/coordinator-service.ts';
import { createDatabaseReader } from '../src/service/databases/database-reader.ts';
import { openStorage } from '../src/storage/by-address/open-storage.ts';

declare module 'fastify' {
  interface FastifyInstance {
    coordinator: CoordinatorService;
    /** A description of the storage, for people. */
    storageDescription: string;
  }
}

export interface ServicePluginOptions {
  /** The source of time and random values. Default: the machine. */
  world?: World;
}

const machine: World = {
  now: () => Date.now(),
  randomBytes,
  randomUuid: randomUUID,
  yield: () => new Promise(setImmediate),
};

export default fp<ServicePluginOptions>(
  async (app, { world = machine }) => {
    const { coordinatorConfig: config, coordinatorMetrics: metrics } = app;
    const storage = await openStorage({ ...config.storage, dataDir: config.dataDir });
    const hooks = app.coordinatorHooks.chain;
    const service = new CoordinatorService({
      config,
      storage,
      hooks,
      world,
      version: PACKAGE_VERSION,
      metrics,
      refusals: app.refusalLog,
    });
    app.hookReader.bind(
      createDatabaseReader(
        (id) => service.acquire(id),
        (id, options) => service.logPins.pin(id, options),
        (id) => service.memory.hookMemory(`hooks in ${id}`),
      ),
    );
    app.hookAccess.bind(service);
    app.decorate('coordinator', service);
    app.decorate('storageDescription', storage.description);
    app.addHook('onRequest', async ({ routeOptions }) => {
      if (service.isStopping && !routeOptions.config.isHealthCheck)
        throw new SyncError('SHUTTING_DOWN', 'the server is stopping');
    });
    app.addHook('onClose', () => service.stop(config.limits.shutdownMs));
    await app.coordinatorHooks.ready();
  },
  {
    name: 'sync-coordinator-service',
    fastify: '5.x',
    dependencies: ['sync-coordinator-config', 'sync-coordinator-metrics', 'sync-coordinator-auth'],
  },
);
