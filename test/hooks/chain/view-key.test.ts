/** Clients that see the same are sent one frame, and nobody is sent what is another's to see. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type CoordinatorHooks, defineHooks, judgeChanges } from '../../../src/index.ts';
import { Device } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { aMoment } from '../../support/moment.ts';
import { startServer } from '../../support/server.ts';

/** The token is the role; each role sees its own table and `all`. */
function filter(name: string, more: Pick<CoordinatorHooks, 'viewKey'>) {
  const asked: string[] = [];
  const module = defineHooks({
    name,
    hooks: {
      ...more,
      onAuthenticate: ({ token, siteId }) =>
        siteId && { siteId, userId: 'u', metadata: { role: token } },
      onBeforeSendChanges({ metadata }, changes) {
        asked.push(String(metadata?.role));
        return changes.map((set) => ({
          ...set,
          changes: set.changes.filter(({ table }) => table === metadata?.role || table === 'all'),
        }));
      },
    },
  });
  return { asked, module };
}

const byRole: CoordinatorHooks['viewKey'] = ({ metadata }) => String(metadata?.role);

async function join(t: TestContext, wsUrl: string, role: string, number: number) {
  const device = new Device(number, Date.now());
  const client = await TestClient.join(wsUrl, { siteId: device.siteId, token: role }, t);
  return { device, client, role };
}

async function tablesPushed(client: TestClient): Promise<string[]> {
  const sets = await client.nextPush();
  return sets.flatMap(({ changes }) => changes.map(({ table }) => table));
}

const inAll = (device: Device, ...tables: string[]) =>
  device.write(...tables.map((table) => ({ table, pk: [1], set: { a: 1 } })));

test('clients with one key are asked about once, and each sees what is its own', async (t) => {
  const { asked, module } = filter('by-role', { viewKey: byRole });
  const server = await startServer(t, { config: { hooks: [module] } });
  const clients = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      join(t, server.wsUrl, i % 3 === 0 ? 'staff' : 'guest', 10 + i),
    ),
  );
  const [author] = clients;
  assert.ok(author);
  asked.length = 0;
  await author.client.apply(inAll(author.device, 'all', 'staff', 'guest'));
  for (const { client, role } of clients.slice(1)) {
    assert.deepEqual(await tablesPushed(client), ['all', role]);
  }
  // Once for each role, and for the author, who is sent nothing of its own.
  assert.ok(asked.length <= 3, `${asked.length} were asked about`);
});

test('what is for one client alone reaches it, and nobody who shares its key', async (t) => {
  const { module } = filter('by-role', { viewKey: byRole });
  const refusing = defineHooks({
    name: 'refusing',
    hooks: {
      onBeforeApplyChanges: (_client, sets) =>
        judgeChanges(sets, (change) =>
          change.type === 'column' && change.value === 'bad' ? { reason: 'bad' } : true,
        ),
    },
  });
  const hooks = { modules: [module, refusing], onReject: 'revert' as const };
  const server = await startServer(t, { config: { hooks } });
  const [eve, ben] = [
    await join(t, server.wsUrl, 'guest', 1),
    await join(t, server.wsUrl, 'guest', 2),
  ];
  await ben.client.apply(inAll(ben.device, 'all'));
  assert.deepEqual(await tablesPushed(eve.client), ['all']);
  eve.device.wallTime = ben.device.wallTime + 1000;
  await eve.client.apply(eve.device.write({ table: 'all', pk: [1], set: { a: 'bad' } }));
  const [told] = await eve.client.nextPush();
  assert.deepEqual(
    told?.changes.map((change) => change.type === 'column' && change.value),
    [1],
  );
  // The next that the other hears of is not that.
  await eve.client.apply(eve.device.write({ table: 'all', pk: [2], set: { a: 2 } }));
  const sets = await ben.client.nextPush();
  assert.deepEqual(
    sets.flatMap(({ changes }) => changes.map(({ pk }) => pk)),
    [[2]],
  );
});

test('without a key of every module, or for a client without one, each is asked about', async (t) => {
  for (const [name, more, calls] of [
    ['none', {}, 6],
    ['some', { viewKey: ({ metadata }) => (metadata?.role === 'guest' ? undefined : 'staff') }, 4],
    ['no key', { viewKey: () => 7 as never }, 6],
    [
      'failing',
      {
        viewKey: () => {
          throw new Error('no key');
        },
      },
      6,
    ],
  ] as [string, Pick<CoordinatorHooks, 'viewKey'>, number][]) {
    const { asked, module } = filter(name, more);
    const server = await startServer(t, { config: { hooks: [module] } });
    const clients = await Promise.all(
      Array.from({ length: 6 }, (_, i) => join(t, server.wsUrl, i < 3 ? 'staff' : 'guest', 10 + i)),
    );
    asked.length = 0;
    await server.service.write('default', [{ table: 'all', pk: [1], set: { a: 1 } }]);
    for (const { client } of clients) assert.deepEqual(await tablesPushed(client), ['all']);
    assert.equal(asked.length, calls, name);
  }
});

test('newer credentials with another key are heeded for what is being read', async (t) => {
  const gates: (() => void)[] = [];
  const { module } = filter('held', { viewKey: byRole });
  const held = defineHooks({
    name: 'gate',
    hooks: {
      viewKey: () => 'same',
      onBeforeSendChanges: async (client, changes) => {
        if (client.metadata?.role === 'staff')
          await new Promise<void>((resolve) => gates.push(resolve));
        return changes;
      },
    },
  });
  const server = await startServer(t, { config: { hooks: [held, module] } });
  const { client } = await join(t, server.wsUrl, 'staff', 10);
  await server.service.write('default', [
    { table: 'staff', pk: [1], set: { a: 1 } },
    { table: 'all', pk: [1], set: { a: 1 } },
  ]);
  while (gates.length === 0) await aMoment();
  client.send({ type: 'authenticate', token: 'staff-no-more', requestId: 'b' });
  await client.next('authenticated');
  for (const letGo of gates) letGo();
  assert.deepEqual(await tablesPushed(client), ['all']);
});

test('a key that is no function is refused at the start', async (t) => {
  const module = defineHooks({
    name: 'wrong',
    hooks: { viewKey: 'role' as never, onBeforeSendChanges: (_client, changes) => changes },
  });
  await assert.rejects(startServer(t, { config: { hooks: [module] } }), {
    name: 'HookLoadError',
    message: 'hook module wrong: viewKey is a string, not a function',
  });
});
