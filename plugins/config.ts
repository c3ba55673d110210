/** The configuration, for the other plugins: as given, or from the usual sources. */

import fp from 'fastify-plugin';
import { loadConfig } from '../src/config/resolve-config.ts';
import type { CoordinatorConfig } from '../src/config/schema.ts';

export interface ConfigPluginOptions {
  config?: CoordinatorConfig;
}

declare module 'fastify' {
  interface FastifyInstance {
    coordinatorConfig: CoordinatorConfig;
  }
}

export default fp<ConfigPluginOptions>(
  async (app, { config }) => {
    app.decorate('coordinatorConfig', config ?? loadConfig());
  },
  { name: 'sync-coordinator-config', fastify: '5.x' },
);
