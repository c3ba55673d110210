/** After any verdict the devices hold what the coordinator does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeChanges } from '../../src/hooks/judge-changes.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { assertConverged } from '../../src/testing/assertions.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import type { ChangeSet } from '../../src/wire/types.ts';
import { eachTransport } from './each-transport.ts';

type Judge = NonNullable<CoordinatorHooks['onBeforeApplyChanges']>;

const isBad = (change: ChangeSet['changes'][number]) =>
  change.type === 'column' ? change.value === 'bad' : change.pk[0] === 'keep';

const VERDICTS: Record<string, Judge> = {
  'rejects single changes': (_client, sets) =>
    judgeChanges(sets, (change) => (isBad(change) ? { reason: 'bad', code: 'BAD' } : true)),
  'rejects transactions whole': (_client, sets) =>
    judgeChanges(sets, (change) => (isBad(change) ? { reason: 'bad', code: 'BAD' } : true), {
      atomic: true,
    }),
  'drops without a word': (_client, sets) => ({
    approved: sets.map((set) => ({ ...set, changes: set.changes.filter((c) => !isBad(c)) })),
    rejected: [],
  }),
  'drops whole transactions': (_client, sets) => ({
    approved: sets.filter(({ changes }) => !changes.some(isBad)),
    rejected: [{ reason: 'bad' }],
  }),
  rewrites: (_client, sets) =>
    judgeChanges(sets, (change) =>
      change.type === 'column' && isBad(change) ? { ...change, value: 'good' } : true,
    ),
  'changes what it was given': (_client, sets) => {
    for (const { changes } of sets) {
      for (const change of changes) {
        if (change.type === 'column' && isBad(change)) change.value = 'good';
      }
    }
    return { approved: sets, rejected: [] };
  },
  'approves nothing': () => ({ approved: [], rejected: [] }),
};

for (const [what, onBeforeApplyChanges] of Object.entries(VERDICTS)) {
  test(`a hook that ${what}: both devices end as the coordinator is, also after being offline`, async (t) => {
    let isJudging = false;
    const coordinator = await startCoordinator(t, {
      config: { hooks: { onReject: 'revert' } },
      hooks: {
        onBeforeApplyChanges: (client, sets, call) =>
          isJudging ? onBeforeApplyChanges(client, sets, call) : { approved: sets, rejected: [] },
      },
    });
    const [ann, ben] = [await coordinator.device(), await coordinator.device()];
    await ann.write('t', ['keep'], { a: 1, b: 2 });
    await ann.write('t', ['gone'], { a: 1 });
    await ann.delete('t', ['gone']);
    await assertConverged(coordinator, [ann, ben]);
    isJudging = true;
    await ann.write('t', ['keep'], { a: 'bad', b: 'fine', c: 'bad' });
    await ann.transact(
      { table: 't', pk: ['new'], set: { a: 'bad' } },
      { table: 't', pk: ['other'], set: { a: 'fine', b: 'bad' } },
    );
    await ann.goOffline();
    const late = [
      ann.delete('t', ['keep']),
      ann.write('t', ['gone'], { a: 'bad' }),
      ann.transact(
        { table: 't', pk: ['keep'], set: { d: 'fine' } },
        { table: 't', pk: ['keep'], set: { a: 'bad' } },
      ),
    ];
    await ben.write('t', ['keep'], { b: 'ben' });
    await ann.comeBack();
    await Promise.all(late);
    await assertConverged(coordinator, [ann, ben]);
  });
}

eachTransport(
  'a rejection names table, column, key, code and reason, each change for itself',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const result = await client.apply(
      device.write(
        { pk: [{ __bigint: '5' }, { __bin: 'AAE=' }], set: { a: 'bad', b: 'fine', c: 'bad' } },
        { pk: ['keep'], delete: true },
      ),
      device.write({ table: 'u', pk: [1], set: { a: 'fine' } }),
    );
    const pk = [{ __bigint: '5' }, { __bin: 'AAE=' }];
    assert.equal(result.applied, 2);
    assert.deepEqual(result.rejected, [
      { table: 't', column: 'a', pk, code: 'BAD', reason: 'bad' },
      { table: 't', column: 'c', pk, code: 'BAD', reason: 'bad' },
      { table: 't', pk: ['keep'], code: 'BAD', reason: 'bad' },
    ]);
  },
  { hooks: () => ({ onBeforeApplyChanges: VERDICTS['rejects single changes'] }) },
);

eachTransport(
  'atomic: the transaction goes whole, the rest of the batch is stored',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const result = await client.apply(
      device.write({ pk: [1], set: { a: 'fine', b: 'bad' } }),
      device.write({ pk: [2], set: { a: 'fine' } }),
    );
    assert.equal(result.applied, 1);
    assert.deepEqual(result.rejected, [
      {
        ...{ table: 't', column: 'a', pk: [1], code: 'REJECTED' },
        reason: 'another change of its transaction was rejected',
      },
      { table: 't', column: 'b', pk: [1], code: 'BAD', reason: 'bad' },
    ]);
  },
  { hooks: () => ({ onBeforeApplyChanges: VERDICTS['rejects transactions whole'] }) },
);

test('a change that a hook makes up, of the future or of another site, gets around nothing', async (t) => {
  const coordinator = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, sets) => ({
        approved: sets.map((set) => ({
          ...set,
          changes: set.changes.map((change) => ({
            ...change,
            hlc: { ...change.hlc, wallTime: change.hlc.wallTime + 10_000_000n },
          })),
        })),
        rejected: [],
      }),
    },
  });
  const ann = await coordinator.device();
  await assert.rejects(ann.write('t', [1], { a: 1 }), { code: 'CLOCK_DRIFT' });
  const ben = await coordinator.device();
  assert.deepEqual(ben.rows('t'), []);
});
