import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { CoordinatorHooks } from '../../../src/hooks/types.ts';
import { readerOf } from '../../../src/service/access/rights.ts';
import { Device, siteBytes } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { createTestService } from '../support.ts';

const CLIENT = { userId: 'ann', siteId: siteBytes(1), databaseId: 'db' };
const REQUEST = { siteId: siteBytes(1), databaseId: 'db', transport: 'http', headers: {} } as const;

function start(t: TestContext, hooks: CoordinatorHooks = {}) {
  const { service, storage } = createTestService(t, hooks);
  const access = service.access('db');
  t.after(() => access.release());
  return { service, storage, access };
}

test('a batch is accepted once it has its place, and applied once it is stored', async (t) => {
  const { service, storage, access } = start(t);
  await access.open();
  const gate = deferred();
  storage.beforeCommit = () => gate.promise;
  const device = new Device(1);
  const order: string[] = [];
  const batches = ['first', 'second'].map((name) => {
    const { accepted, applied } = service.batches.apply(CLIENT, access, [
      device.write({ pk: [1], set: { x: name } }),
    ]);
    return {
      accepted: accepted.then(() => order.push(`${name} accepted`)),
      applied: applied.then(() => order.push(`${name} applied`)),
    };
  });
  await Promise.all(batches.map(({ accepted }) => accepted));
  assert.deepEqual(order, ['first accepted', 'second accepted'], 'without waiting for the disk');
  gate.resolve();
  await Promise.all(batches.map(({ applied }) => applied));
  assert.deepEqual(order.slice(2), ['first applied', 'second applied']);
});

test('a batch that is refused is accepted all the same: the next message may go on', async (t) => {
  const { service, access } = start(t, { onAuthorize: () => false });
  const { accepted, applied } = service.batches.apply(CLIENT, access, []);
  await Promise.all([accepted, assert.rejects(applied, { code: 'NOT_AUTHORIZED' })]);
});

test('hooks are told after the batch has its result, and what became of it', async (t) => {
  const told = deferred();
  const order: string[] = [];
  const { service, access } = start(t, {
    onBeforeApplyChanges: (_client, changes) => {
      order.push('before');
      return { approved: changes.slice(0, 1), rejected: [{ reason: 'one is enough' }] };
    },
    onAfterApplyChanges: ({ userId }, changes, result) => {
      order.push(`after: ${userId}, ${changes.length}, ${JSON.stringify(result)}`);
      told.resolve();
    },
  });
  const device = new Device(1);
  const batch = [1, 2].map((pk) => device.write({ pk: [pk], set: { x: pk } }));
  const { result } = await service.handleApplyChanges(CLIENT, access, batch);
  order.push('result');
  await told.promise;
  const expected = {
    applied: 1,
    skipped: 0,
    conflicts: 0,
    transactions: 2,
    rejected: [
      {
        ...{ reason: 'one is enough', code: 'REJECTED', schema: 'main', table: 't', column: 'x' },
        ...{ pk: [2], transactionId: batch[1]?.transactionId },
      },
    ],
  };
  assert.deepEqual(result, expected);
  assert.deepEqual(order, ['before', 'result', `after: ann, 1, ${JSON.stringify(expected)}`]);
});

test('a batch that could not be stored is told to nobody, and the client knows', async (t) => {
  const { service, storage, access } = start(t, {
    onAfterApplyChanges: () => assert.fail('there was nothing to tell'),
  });
  await access.open();
  storage.beforeCommit = () => {
    throw new Error('the disk is gone');
  };
  const batch = [new Device(1).write({ pk: [1], set: { x: 1 } })];
  const refused = { code: 'STORE_UNAVAILABLE' };
  await assert.rejects(service.handleApplyChanges(CLIENT, access, batch), refused);
  await service.settle(1000);
  const calls = service.metrics.registry.getSingleMetric('sync_hook_calls_total');
  assert.deepEqual((await calls?.get())?.values, []);
});

test('what is not allowed does not even make the database', async (t) => {
  const { service, storage, access } = start(t, { onAuthorize: () => false });
  const refused = { code: 'NOT_AUTHORIZED' };
  const batch = [new Device(1).write({ pk: [1], set: { x: 1 } })];
  await assert.rejects(service.handleApplyChanges(CLIENT, access, batch), refused);
  await assert.rejects(service.delivery.changes(readerOf(CLIENT), access), refused);
  await assert.rejects(service.delivery.snapshots.open(readerOf(CLIENT), access), refused);
  assert.deepEqual(storage.events, []);
});

test('a validate hook that fails stores nothing, and makes no database either', async (t) => {
  const { service, storage, access } = start(t, {
    onBeforeApplyChanges: () => {
      throw new Error('bug');
    },
  });
  const batch = [new Device(1).write({ pk: [1], set: { x: 1 } })];
  await assert.rejects(service.handleApplyChanges(CLIENT, access, batch), { code: 'HOOK_FAILED' });
  assert.deepEqual(storage.events, []);
});

test('hooks are asked about the operation, its database, its size and its DDL', async (t) => {
  const asked: unknown[] = [];
  const { service, access } = start(t, {
    onAuthorize: (_client, operation) => {
      asked.push(operation);
      return true;
    },
  });
  const device = new Device(1);
  const batch = [device.write({ pk: [1], set: { x: 1, y: 2 } }), device.migrate('add_column', 't')];
  await service.handleApplyChanges(CLIENT, access, batch);
  const migrations = [{ type: 'add_column', schema: 'main', table: 't' }];
  assert.deepEqual(asked, [
    { type: 'apply_changes', databaseId: 'db', changeCount: 3, migrations },
  ]);
});

test('once it stops, new batches are refused and those under way are waited for', async (t) => {
  const gate = deferred();
  const { service, access } = start(t, {
    async onBeforeApplyChanges(_client, changes) {
      await gate.promise;
      return { approved: changes, rejected: [] };
    },
  });
  const device = new Device(1);
  const order: string[] = [];
  const batch = [device.write({ pk: [1], set: { x: 1 } })];
  const { applied } = service.batches.apply(CLIENT, access, batch);
  const done = applied.then(() => order.push('applied'));
  const settled = service.settle(5000).then(() => order.push('settled'));
  assert.equal(service.isStopping, true);
  await assert.rejects(service.handleApplyChanges(CLIENT, access, batch), {
    code: 'SHUTTING_DOWN',
  });
  gate.resolve();
  await Promise.all([done, settled]);
  assert.deepEqual(order, ['applied', 'settled']);
});

test('those who answer one batch after the other have answered when the stop goes on', async (t) => {
  const { service, storage, access } = start(t);
  await access.open();
  const gate = deferred();
  storage.beforeCommit = () => gate.promise;
  const device = new Device(1);
  const order: string[] = [];
  let answered: Promise<void> = Promise.resolve();
  for (let i = 0; i < 20; i++) {
    const batch = [device.write({ pk: [i], set: { x: i } })];
    const { accepted, applied } = service.batches.apply(CLIENT, access, batch);
    const before = answered;
    answered = (async () => {
      await applied;
      await before;
      order.push('answered');
    })();
    await accepted;
  }
  const settled = service.settle(5000).then(() => order.push('settled'));
  gate.resolve();
  await settled;
  assert.deepEqual(order, [...Array(20).fill('answered'), 'settled']);
});

test('what never ends holds up the stop no longer than its deadline', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { service, access } = start(t);
  await access.open();
  const { accepted, applied } = service.batches.apply(
    CLIENT,
    { id: 'db', open: () => new Promise(() => undefined) },
    [],
  );
  const settled = service.settle(1000);
  t.mock.timers.tick(1000);
  await settled;
  t.mock.timers.reset();
  const stillRunning = Symbol('still running');
  const outcome = await Promise.race([accepted, applied, Promise.resolve(stillRunning)]);
  assert.equal(outcome, stillRunning);
});

for (const end of ['its sender has gone', 'the stop has waited for long enough'] as const) {
  test(`a long merge is given up when ${end}, and nothing of it is stored`, async (t) => {
    const { service, access } = start(t);
    const { manager } = await access.open();
    const device = new Device(1);
    const rows = Array.from({ length: 20_000 }, (_, i) => ({ pk: [i], set: { x: i } }));
    const gone = new AbortController();
    const { accepted, applied } = service.batches.apply(CLIENT, access, [device.write(...rows)], {
      signal: gone.signal,
    });
    const code = end === 'its sender has gone' ? 'APPLY_CHANGES_ERROR' : 'SHUTTING_DOWN';
    const refused = assert.rejects(applied, { code });
    await accepted;
    if (end === 'its sender has gone') gone.abort();
    else await service.settle(0);
    await refused;
    assert.equal(manager.logLength, 0);
  });
}

test('credentials for another site than the one that is claimed are refused', async (t) => {
  const { service } = start(t, {
    onAuthenticate: ({ token }) => ({ siteId: siteBytes(Number(token)), userId: 'ann' }),
  });
  await assert.rejects(service.admission.authenticate({ ...REQUEST, token: '2' }), {
    code: 'AUTH_FAILED',
  });
  const identity = await service.admission.authenticate({ ...REQUEST, token: '1' });
  assert.equal(identity.userId, 'ann');
  assert.equal(identity.databaseId, 'db', 'filled in');
  assert.ok(Object.isFrozen(identity));
  const text = await service.metrics.registry.metrics();
  assert.match(text, /^sync_auth_attempts_total\{transport="http"\} 2$/m);
  assert.match(text, /^sync_auth_failures_total\{transport="http",code="AUTH_FAILED"\} 1$/m);
});

test('an identity is for the database that was asked for, whatever a hook says', async (t) => {
  const { service } = start(t, {
    onAuthenticate: ({ siteId = siteBytes(9) }) => ({ siteId, databaseId: 'all' }),
  });
  assert.equal((await service.admission.authenticate(REQUEST)).databaseId, 'db');
});

test('where nobody knows the client it is refused; without a hook everybody may come', async (t) => {
  const { service } = start(t, { onAuthenticate: () => undefined });
  await assert.rejects(service.admission.authenticate(REQUEST), { code: 'AUTH_FAILED' });
  const open = start(t).service;
  assert.deepEqual((await open.admission.authenticate(REQUEST)).siteId, siteBytes(1));
  const { siteId: _, ...nobody } = REQUEST;
  await assert.rejects(open.admission.authenticate(nobody), { code: 'NOT_AUTHENTICATED' });
});
