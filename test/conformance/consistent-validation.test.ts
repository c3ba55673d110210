/** A validator sees what comes before the change that it judges, stored or not. */

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import businessRule from '../../examples/hooks/business-rule.ts';
import rowOwnership from '../../examples/hooks/row-ownership.ts';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { HookEntry } from '../../src/hooks/loading/hook-entry.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { hookModuleContract } from '../../src/testing/hook-contract.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { plainDevice } from '../support/plain-device.ts';
import { startServer } from '../support/server.ts';

/** Tokens are names here. */
const anybody = defineHooks({
  name: 'anybody',
  hooks: { onAuthenticate: ({ token, siteId }) => siteId && { siteId, userId: token } },
});

const config = (module: HookEntry) => ({
  storage: 'memory:' as const,
  hooks: { modules: [anybody, module] },
});

const codesOf = (answer: object) =>
  (Reflect.get(answer, 'rejected') as { code: string }[] | undefined)?.map(({ code }) => code);

hookModuleContract({
  module: rowOwnership,
  client: { userId: 'ann' },
  transactions: [
    [{ table: 'notes', pk: [1], set: { owner: 'ann', text: 'a' } }],
    [{ table: 'notes', pk: [1], set: { text: 'b' } }],
    [{ table: 'notes', pk: [1], set: { owner: 'ben' } }],
    [{ table: 'notes', pk: [1], set: { text: 'c' } }],
  ],
  refused: { table: 'notes', pk: [1], set: { owner: 'ben' } },
});

for (const serial of [true, false]) {
  const ownership = { ...rowOwnership, serial };

  test(`what a device sends first counts for what it sends next, in one batch or in several (serial: ${serial})`, async (t) => {
    const server = await startServer(t, { config: config(ownership) });
    const device = new Device(1);
    const client = await TestClient.join(server.wsUrl, { ...device, token: 'ann' }, t);
    const together = await client.apply(
      device.write({ table: 'notes', pk: [1], set: { owner: 'ann', text: 'a' } }),
      device.write({ table: 'notes', pk: [1], set: { text: 'b' } }),
      device.write({ table: 'notes', pk: [2], set: { text: 'of nobody' } }),
      device.write({ table: 'notes', pk: [2], set: { owner: 'ann' } }),
    );
    assert.deepEqual(codesOf(together), ['NOT_OWNER']);
    const answers = await Promise.all([
      client.apply(device.write({ table: 'notes', pk: [3], set: { owner: 'ann' } })),
      client.apply(device.write({ table: 'NOTES', pk: [3], set: { owner: 'ann' } })),
      client.apply(device.write({ table: 'notes', pk: [3], delete: true })),
      client.apply(device.write({ table: 'notes', pk: [3], set: { text: 'd' } })),
    ]);
    assert.deepEqual(answers.map(codesOf), [undefined, ['SPELLING'], undefined, ['NOT_OWNER']]);
  });
}

test('a paid order stays as it is, also in the batch that pays it', async (t) => {
  const server = await startServer(t, { config: config(businessRule) });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, { ...device, token: 'ann' }, t);
  const answer = await client.apply(
    device.write({ table: 'orders', pk: [1], set: { status: 'open', amount: 5 } }),
    device.write({ table: 'orders', pk: [1], set: { status: 'paid' } }),
    device.write({ table: 'orders', pk: [1], set: { amount: 1 } }),
  );
  assert.deepEqual(codesOf(answer), ['ORDER_PAID']);
});

test('of devices that make one row at the same moment one owns it', async (t) => {
  const coordinator = await startCoordinator(t, { config: config(rowOwnership) });
  const names = ['ann', 'ben', 'cat', 'dan'];
  const devices = await Promise.all(names.map((token) => plainDevice(t, coordinator, { token })));
  for (let key = 0; key < 10; key++) {
    const verdicts = await Promise.all(
      devices.map((device, i) => device.write('notes', [key], { owner: names[i], text: 'mine' })),
    );
    const accepted = verdicts.filter(({ rejected }) => rejected === undefined);
    assert.equal(accepted.length, 1, `row ${key}`);
  }
});

test('a rule that no two batches may break together holds, whoever sends them at once', async (t) => {
  const ROWS_MAX = 5;
  const quota = defineHooks({
    name: 'quota',
    serial: true,
    hooks: {
      onBeforeApplyChanges: (_client, changeSets, { read }) =>
        judgeChanges(
          changeSets,
          async () => {
            let count = 0;
            for await (const _ of read.rows({ table: 'tasks' })) count++;
            // Others have their turn, as they would while a hook asks a service.
            await new Promise(setImmediate);
            return count < ROWS_MAX ? true : { reason: 'full', code: 'QUOTA' };
          },
          { read },
        ),
    },
  });
  const coordinator = await startCoordinator(t, { config: config(quota) });
  const devices = await Promise.all(Array.from({ length: 6 }, () => plainDevice(t, coordinator)));
  const verdicts = await Promise.all(
    devices.flatMap((device, i) =>
      [0, 1, 2].map((j) => device.write('tasks', [i * 3 + j], { title: 'x' })),
    ),
  );
  const accepted = verdicts.filter(({ rejected }) => rejected === undefined);
  assert.equal(accepted.length, ROWS_MAX);
});

test('a serial validator that writes to its own database is told so, and nothing is written', async (t) => {
  const faults: unknown[] = [];
  let asked = 0;
  let written = () => {};
  const isWritten = new Promise<void>((resolve) => {
    written = resolve;
  });
  let write = () => {};
  const writer = defineHooks({
    name: 'writer',
    serial: true,
    setup: (_options, { service }) => ({
      async onBeforeApplyChanges({ userId }, changes) {
        asked++;
        const rows = [{ table: 'log', pk: [asked], set: { by: 'judge' } }];
        if (userId === 'other') await service.write('elsewhere', rows);
        if (userId === 'late') {
          const called = new Promise<void>((resolve) => {
            write = resolve;
          });
          called.then(() => service.write('default', rows)).then(written, written);
        }
        if (userId === 'own') {
          await service.write('default', rows).catch((error: unknown) => {
            faults.push(error);
            throw error;
          });
        }
        return judgeChanges(changes, () => true);
      },
      async onAfterApplyChanges({ userId }) {
        if (userId === 'after') {
          await service.write('default', [{ table: 'log', pk: [0], set: { by: 'after' } }]);
        }
      },
    }),
  });
  const coordinator = await startCoordinator(t, { config: config(writer) });
  const device = await plainDevice(t, coordinator, { token: 'own' });
  await assert.rejects(device.write('t', [1], { a: 1 }), { code: 'HOOK_FAILED' });
  assert.equal(asked, 1);
  assert.match(String(faults[0]), /^Error: service\.write: a batch for default is being judged/);
  for (const token of ['other', 'after', 'late']) {
    const { applied } = await (await plainDevice(t, coordinator, { token })).write('t', [token], {
      a: 1,
    });
    assert.equal(applied, 1, token);
  }
  // What a validator has begun may write when its batch is stored.
  write();
  await isWritten;
  const reader = await plainDevice(t, coordinator, { token: 'ann' });
  await reader.write('t', ['ann'], { a: 1 });
  await reader.synced();
  assert.deepEqual(
    reader.rows('log').map(([, { by }]) => by),
    ['after', 'judge'],
  );
});

test('of serial validators that write to each other’s databases at once one is told so, and the other’s batch is stored', async (t) => {
  const faults: unknown[] = [];
  let asked = 0;
  const judging = new EventEmitter();
  const writer = defineHooks({
    name: 'writer',
    serial: true,
    setup: (_options, { service }) => ({
      async onBeforeApplyChanges({ databaseId }, changes) {
        asked++;
        const together = once(judging, 'both');
        if (asked === 2) judging.emit('both');
        await together;
        const rows = [{ table: 'log', pk: [databaseId ?? ''], set: { by: 'judge' } }];
        await service.write(databaseId === 'a' ? 'b' : 'a', rows).catch((error: unknown) => {
          faults.push(error);
          throw error;
        });
        return judgeChanges(changes, () => true);
      },
    }),
  });
  const coordinator = await startCoordinator(t, { config: config(writer) });
  const [a, b] = await Promise.all(
    ['a', 'b'].map((databaseId) => plainDevice(t, coordinator, { token: 'ann', databaseId })),
  );
  const answers = await Promise.allSettled([
    a?.write('t', [1], { a: 1 }),
    b?.write('t', [1], { b: 1 }),
  ]);
  assert.equal(faults.length, 1);
  assert.match(
    String(faults[0]),
    /^Error: service\.write: a batch for [ab] is being judged at the same time/,
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
});
