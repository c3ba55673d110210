/** Modules that are replaced while clients are served. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { startServer } from '../support/server.ts';

test('a batch is judged, stored and told by the modules that it began with, wholly', async (t) => {
  const events: string[] = [];
  const [asked, answer, told, closed] = [deferred(), deferred(), deferred(), deferred()];
  let generation = 0;
  const hooks = defineHooks({
    name: 'generations',
    setup(_options, { onClose }) {
      const own = ++generation;
      onClose(() => {
        events.push(`${own} closed`);
        closed.resolve();
      });
      return {
        async onAuthorize(_client, { type }) {
          if (type !== 'apply_changes') return true;
          events.push(`${own} onAuthorize`);
          asked.resolve();
          await answer.promise;
          return true;
        },
        onBeforeApplyChanges(_client, changes) {
          events.push(`${own} onBeforeApplyChanges`);
          return { approved: changes, rejected: [] };
        },
        onAfterApplyChanges() {
          events.push(`${own} onAfterApplyChanges`);
          told.resolve();
        },
      };
    },
  });
  const server = await startServer(t, { config: { storage: 'memory:' }, hooks });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, { siteId: device.siteId }, t);
  const applied = client.apply(device.write({ pk: [1], set: { x: 1 } }));
  await asked.promise;
  await server.reload(server.config);
  answer.resolve();
  assert.equal((await applied).applied, 1);
  await told.promise;
  await closed.promise;
  assert.deepEqual(events, [
    '1 onAuthorize',
    '1 onBeforeApplyChanges',
    '1 onAfterApplyChanges',
    '1 closed',
  ]);
  await client.apply(device.write({ pk: [2], set: { x: 1 } }));
  assert.deepEqual(events.slice(4, 6), ['2 onAuthorize', '2 onBeforeApplyChanges']);
});

test('who is connected is known after ten reloads, and who goes is told of once', async (t) => {
  const live = new Set<string | undefined>();
  const gone = deferred();
  const hooks = defineHooks({
    name: 'presence',
    setup(_options, { onHandover, previous }) {
      const users = previous instanceof Map ? previous : new Map<object, string>();
      onHandover(() => users);
      live.clear();
      const note = (client: { userId?: string }) => {
        users.set(client, `${users.get(client) ?? ''}${client.userId}`);
        live.add(client.userId);
      };
      return {
        onAuthenticate: ({ token, siteId }) => siteId && { userId: token, siteId },
        onClientConnect(client) {
          note(client);
          return true;
        },
        onClientHandover: note,
        onClientDisconnect(client) {
          assert.ok(users.delete(client), 'it is the object that it was known by');
          live.delete(client.userId);
          if (users.size === 1) gone.resolve();
        },
      };
    },
  });
  const config = { storage: 'memory:', auth: { mode: 'custom' as const } };
  const server = await startServer(t, { config, hooks });
  const join = (token: string, i: number) =>
    TestClient.join(server.wsUrl, { siteId: new Device(i).siteId, token }, t);
  const ann = await join('ann', 1);
  await join('bob', 2);
  for (let i = 0; i < 10; i++) await server.reload(server.config);
  assert.deepEqual([...live].sort(), ['ann', 'bob']);
  await ann.close();
  await gone.promise;
  assert.deepEqual([...live], ['bob']);
});

test('notify hooks that never answer for one database hold up no other', async (t) => {
  const stuck: { signal: AbortSignal }[] = [];
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: { timeoutMs: 600_000, notifyCallsMax: 3 },
      limits: { shutdownMs: 100 },
    },
    hooks: {
      onAfterApplyChanges({ databaseId }, _changes, _result, call) {
        if (databaseId !== 'stuck') return;
        stuck.push(call);
        return once(call.signal, 'abort').then(() => undefined);
      },
    },
  });
  const [mine, other] = [new Device(1), new Device(2)];
  const join = ({ siteId }: Device, databaseId: string) =>
    TestClient.join(server.wsUrl, { siteId, databaseId }, t);
  const [client, free] = [await join(mine, 'stuck'), await join(other, 'free')];
  for (let i = 0; i < 3; i++) await client.apply(mine.write({ pk: [i], set: { x: 1 } }));
  let isHeldUp = true;
  const goesOn = () => {
    isHeldUp = false;
  };
  void client.apply(mine.write({ pk: [4], set: { x: 1 } })).then(goesOn, goesOn);
  for (let i = 0; i < 5; i++) {
    assert.equal((await free.apply(other.write({ pk: [i], set: { x: 1 } }))).applied, 1);
  }
  assert.equal(isHeldUp, true);
  assert.equal(stuck.length, 3);
});
