/** A bare Fastify app for one plugin. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import Fastify, { type FastifyInstance, type FastifyPluginCallback } from 'fastify';
import fp from 'fastify-plugin';

export type Cleanup = Pick<TestContext, 'after'>;

/** Closes by itself when the test ends. */
export function bareApp(t: Cleanup): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true, pluginTimeout: 5000 });
  t.after(() => app.close());
  return app;
}

/** Listens on a free port of this machine; gives `127.0.0.1:port`. */
export async function listen(app: FastifyInstance): Promise<string> {
  return new URL(await app.listen({ host: '127.0.0.1', port: 0 })).host;
}

/** A plugin refuses to be registered while any one of its dependencies is missing, naming it. */
export async function assertNeeds(
  t: Cleanup,
  plugin: FastifyPluginCallback,
  name: string,
  dependencies: readonly string[],
): Promise<void> {
  for (const missing of dependencies) {
    const app = bareApp(t);
    for (const other of dependencies) {
      if (other !== missing) await app.register(fp(async () => undefined, { name: other }));
    }
    await assert.rejects(
      async () => app.register(plugin),
      new RegExp(`dependency '${missing}' of plugin '${name}' is not registered`),
    );
  }
}
