/** A server whose clients' credentials are looked at again for as long as a test wants. */

import type { TestContext } from 'node:test';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { startServer } from '../support/server.ts';

/** All but those with the token `author` are looked at again for as long as `verdict` is open. */
export async function startRechecking(
  t: TestContext,
  hooks: CoordinatorHooks = {},
  config: object = {},
  { serial = false } = {},
) {
  const state = { isGood: true, looking: deferred(), verdict: deferred() };
  const server = await startServer(t, {
    config: { storage: 'memory:', ...config },
    hooks: defineHooks({
      name: 'rechecking',
      serial,
      hooks: {
        async onAuthenticate({ siteId, token, known }) {
          if (known !== undefined && token !== 'author') {
            state.looking.resolve();
            await state.verdict.promise;
            if (!state.isGood) throw new Error('not any more');
          }
          return { siteId, userId: token } as ClientIdentity;
        },
        ...hooks,
      },
    }),
  });
  const join = (token: string, { siteId }: { siteId: string }) =>
    TestClient.join(server.wsUrl, { siteId, token }, t);
  const reload = (isGood: boolean) => {
    Object.assign(state, { isGood, looking: deferred(), verdict: deferred() });
    return server.service.hooksChanged();
  };
  return { server, state, join, reload };
}
