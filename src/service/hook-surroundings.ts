/** The surroundings of hook modules without a server: for `check`, and for tests. */

import { Registry } from 'prom-client';
import type { HookSurroundings } from '../hooks/context.ts';
import { createHookMetrics, markHookMetrics } from '../hooks/hook-metrics.ts';
import { LateReader } from './databases/database-reader.ts';
import { LateAccess } from './late-access.ts';

const nothing = () => undefined;

/** Reads and writes fail, and routes are not served. */
export function surroundingsWithoutServer(registry = new Registry()): HookSurroundings {
  return {
    metricsOf: (module) => createHookMetrics(module, registry),
    markMetrics: () => markHookMetrics(registry),
    read: new LateReader(),
    service: new LateAccess(),
    serveRoutes: async (path) => ({ path, handle: nothing, close: async () => nothing() }),
  };
}
