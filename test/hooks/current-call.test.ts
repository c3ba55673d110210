/** Whose call is under way is known wherever a hook's code runs, however it came to run. */

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { currentCall } from '../../src/hooks/current-call.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { CLIENT, SHORT_MS, testChain, untyped } from './support.ts';

const GET = { type: 'get_changes', databaseId: 'db' } as const;

const authorizeAs = (hooks: CoordinatorHooks, requestIds: string[]) => {
  const chain = testChain([hooks], { timeoutMs: SHORT_MS });
  return Promise.allSettled(
    requestIds.map((requestId) => chain.authorize(CLIENT, GET, undefined, { requestId })),
  );
};

test('a query that runs when its answer is asked for runs in its own call', async () => {
  const seen: unknown[] = [];
  const lazily = (_client: unknown, _operation: unknown, { requestId }: { requestId: string }) => ({
    // biome-ignore lint/suspicious/noThenProperty: query builders have one
    then(answer: (value: boolean) => void) {
      seen.push([requestId, currentCall()?.requestId]);
      setImmediate(() => {
        seen.push([requestId, currentCall()?.requestId]);
        answer(true);
      });
    },
  });
  await authorizeAs(untyped({ onAuthorize: lazily }), ['a', 'b']);
  const own = (id: string) => [id, id];
  assert.deepEqual(seen, [own('a'), own('b'), own('a'), own('b')]);
});

test('who listens for the end of a call hears of it in that call', async () => {
  const seen: unknown[] = [];
  const hooks: CoordinatorHooks = {
    onAuthorize(_client, _operation, { requestId, signal }) {
      signal.addEventListener('abort', () => seen.push([requestId, currentCall()?.requestId]));
      return new Promise(() => undefined);
    },
  };
  await authorizeAs(hooks, ['a', 'b']);
  assert.deepEqual(seen.sort(), [
    ['a', 'a'],
    ['b', 'b'],
  ]);
});

test('what a caller keeps for itself does not travel with the time limits of others', async () => {
  const store = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const hooks: CoordinatorHooks = {
    onAuthorize(_client, _operation, { signal }) {
      signal.addEventListener('abort', () => seen.push(store.getStore()));
      return new Promise(() => undefined);
    },
  };
  const chain = testChain([hooks], { timeoutMs: SHORT_MS });
  const ask = () => chain.authorize(CLIENT, GET).catch(() => undefined);
  await Promise.all([store.run('first', ask), store.run('second', ask)]);
  assert.deepEqual(seen, [undefined, undefined]);
});
