/** Simulated devices against a real coordinator. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import {
  assertApproved,
  assertConverged,
  assertRejected,
  converge,
} from '../../src/testing/assertions.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';

test('what one device writes offline reaches the other, and the newest write of a cell wins', async (t) => {
  const coordinator = await startCoordinator(t);
  const [ann, ben] = [await coordinator.device(), await coordinator.device()];
  assertApproved(await ann.write('tasks', [1], { title: 'Buy milk', done: false }));
  await ben.synced();
  await ann.goOffline();
  const late = ann.write('tasks', [1], { title: 'Buy oat milk' });
  coordinator.clock.advance(10);
  await ben.write('tasks', [1], { done: true });
  coordinator.clock.advance(10);
  const deleted = ben.delete('tasks', [2]);
  await Promise.all([ann.comeBack(), deleted]);
  assert.equal((await late).state, 'acknowledged');
  await assertConverged(coordinator, [ann, ben]);
  assert.deepEqual(ben.rows('tasks'), [[[1], { title: 'Buy oat milk', done: true }]]);
});

test('pushes arrive without being asked for', async (t) => {
  const coordinator = await startCoordinator(t);
  const [ann, ben] = [await coordinator.device(), await coordinator.device()];
  for (let i = 0; i < 20; i++) await ann.write('tasks', [i], { n: i });
  await ben.synced();
  assert.equal(ben.rows('tasks').length, 20);
});

test('a device that was away beyond the retention takes a snapshot, and is right', async (t) => {
  const tombstoneTTL = 1000;
  const coordinator = await startCoordinator(t, { config: { sync: { tombstoneTTL } } });
  const [ann, ben] = [await coordinator.device(), await coordinator.device()];
  await ann.write('tasks', [1], { title: 'kept' });
  await converge([ann, ben]);
  await ben.goOffline();
  await ann.delete('tasks', [2]);
  coordinator.clock.advance(10 * tombstoneTTL);
  await ann.write('tasks', [3], { title: 'new' });
  const { manager } = await coordinator.service.acquire('default');
  await manager.maintain({ thorough: true });
  await ben.comeBack();
  assert.deepEqual(
    ben.errors.map(({ code }) => code),
    ['SNAPSHOT_REQUIRED'],
  );
  await assertConverged(coordinator, [ann, ben]);
});

test('a clock that is ahead is corrected when the device connects, and a write that is ahead then is dated anew', async (t) => {
  const coordinator = await startCoordinator(t);
  const ahead = await coordinator.device({ skewMs: 10 * 60_000 });
  assertApproved(await ahead.write('tasks', [1], { n: 1 }));
  await ahead.goOffline();
  coordinator.clock.advance(-10 * 60_000);
  const late = ahead.write('tasks', [1], { n: 2 });
  await ahead.comeBack();
  assertApproved(await late);
  await assertConverged(coordinator, [ahead]);
});

test('a write that the coordinator cannot answer rejects, and is there once it can', async (t) => {
  let isBroken = true;
  const coordinator = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) => {
        if (isBroken) throw new Error('a fault of this hook');
        return { approved: changes, rejected: [] };
      },
    },
  });
  const ann = await coordinator.device();
  await assert.rejects(ann.write('tasks', [1], { n: 1 }), { code: 'HOOK_FAILED' });
  await assert.rejects(ann.comeBack(), { code: 'HOOK_FAILED' });
  assert.equal(ann.isOnline, false);
  isBroken = false;
  await ann.comeBack();
  await assertConverged(coordinator, [ann]);
  assert.deepEqual(ann.rows('tasks'), [[[1], { n: 1 }]]);
});

test('verdicts name what was rejected, and an assertion that is wrong fails', async (t) => {
  const coordinator = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, ({ pk }) =>
          pk[0] === 2 ? { reason: 'not two', code: 'TWO' } : true,
        ),
    },
  });
  const ann = await coordinator.device();
  const verdict = await ann.transact(
    { table: 'tasks', pk: [1], set: { n: 1 } },
    { table: 'tasks', pk: [2], set: { n: 1 } },
  );
  assertRejected(verdict, { table: 'tasks', column: 'n', pk: [2], code: 'TWO', reason: 'not two' });
  assert.throws(() => assertApproved(verdict));
  assert.throws(() => assertRejected(verdict));
  assert.throws(() => assertRejected(verdict, { code: 'THREE' }));
});

test('a replica that differs is noticed, also one of a client of your own', async (t) => {
  const coordinator = await startCoordinator(t);
  const ann = await coordinator.device();
  await ann.write('tasks', [1], { n: 1 });
  const own = {
    synced: async () => {},
    contents: () => ({ '["main","tasks","1"]': { n: 1, other: null } }),
  };
  await assertConverged(coordinator, [ann, own]);
  const differs = { ...own, contents: () => ({ '["main","tasks","1"]': { n: 2 } }) };
  await assert.rejects(assertConverged(coordinator, [ann, differs]), { code: 'ERR_ASSERTION' });
});

test('who is not let in is told why', async (t) => {
  const config = { auth: { mode: 'token-whitelist' as const, tokens: ['good'] } };
  const coordinator = await startCoordinator(t, { config });
  await coordinator.device({ token: 'good' });
  await assert.rejects(coordinator.device({ token: 'bad' }), {
    code: 'AUTH_FAILED',
    isFatal: true,
  });
});

test('who asks twice at once is answered twice', { timeout: 10_000 }, async (t) => {
  const coordinator = await startCoordinator(t);
  const device = await coordinator.device();
  await Promise.all([device.synced(), device.synced()]);
});

test('who comes back twice at once is there once', { timeout: 10_000 }, async (t) => {
  const coordinator = await startCoordinator(t);
  const device = await coordinator.device();
  await Promise.all([device.comeBack(), device.comeBack()]);
  await device.write('t', [1], { x: 1 });
  assert.equal(device.isOnline, true);
  assert.equal(coordinator.service.status().connectedClients, 1);
});
