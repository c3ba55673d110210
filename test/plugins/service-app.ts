/** A bare Fastify app with just what a plugin stands on. */

import type { FastifyInstance } from 'fastify';
import auth from '../../plugins/auth.ts';
import config from '../../plugins/config.ts';
import errors from '../../plugins/errors.ts';
import metrics from '../../plugins/metrics.ts';
import service from '../../plugins/service.ts';
import { loadConfig } from '../../src/config/resolve-config.ts';
import type { CoordinatorConfig, CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { bareApp, type Cleanup } from './bare-app.ts';

/** In memory, and of nobody's environment. */
export function testConfig(overrides: CoordinatorConfigInput = {}): CoordinatorConfig {
  return loadConfig({
    cwd: import.meta.dirname,
    env: {},
    overrides: { storage: 'memory:', ...overrides },
  });
}

/** With the configuration and the metrics. */
export async function appWithMetrics(
  t: Cleanup,
  overrides: CoordinatorConfigInput = {},
): Promise<FastifyInstance> {
  const app = bareApp(t);
  await app.register(config, { config: testConfig(overrides) });
  await app.register(metrics);
  return app;
}

/** With all that the transports stand on. */
export async function appWithService(
  t: Cleanup,
  overrides: CoordinatorConfigInput = {},
  hooks: CoordinatorHooks = {},
): Promise<FastifyInstance> {
  const app = await appWithMetrics(t, overrides);
  await app.register(errors);
  await app.register(auth, { hooks });
  await app.register(service);
  return app;
}
