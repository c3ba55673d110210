/** After any verdict the devices hold what the coordinator does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { type Change, type ChangeSet, decodeChange } from '../../src/protocol/types.ts';
import { assertConverged } from '../../src/testing/assertions.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { deferred } from '../hooks/support.ts';
import { plainDevice } from '../support/plain-device.ts';
import { eachTransport } from './each-transport.ts';
import { changesIn } from './look.ts';

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
  'changes JSON in place': (_client, sets) => {
    for (const { changes } of sets) {
      for (const change of changes) {
        if (change.type === 'column' && Array.isArray(change.value)) change.value.sort();
      }
    }
    return { approved: sets, rejected: [] };
  },
  'changes a JSON key in place': (_client, sets) => {
    for (const { changes } of sets) {
      for (const { pk } of changes) {
        for (const member of pk) if (Array.isArray(member)) member.sort();
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
    const [ann, ben] = [await plainDevice(t, coordinator), await plainDevice(t, coordinator)];
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
    await ann.write('t', ['json'], { a: [2, 1], b: { list: [2, 1] } });
    await ann.write('t', [[2, 1]], { a: 1 });
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
    const refused = device.write(
      { pk: [{ __bigint: '5' }, { __bin: 'AAE=' }], set: { a: 'bad', b: 'fine', c: 'bad' } },
      { pk: ['keep'], delete: true },
    );
    const result = await client.apply(
      refused,
      device.write({ table: 'u', pk: [1], set: { a: 'fine' } }),
    );
    const pk = [{ __bigint: '5' }, { __bin: 'AAE=' }];
    assert.equal(result.applied, 2);
    const { transactionId } = refused;
    const of = { schema: 'main', table: 't', code: 'BAD', reason: 'bad', transactionId };
    assert.deepEqual(result.rejected, [
      { ...of, column: 'a', pk },
      { ...of, column: 'c', pk },
      { ...of, pk: ['keep'] },
    ]);
  },
  { hooks: () => ({ onBeforeApplyChanges: VERDICTS['rejects single changes'] }) },
);

eachTransport(
  'atomic: the transaction goes whole, the rest of the batch is stored',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const refused = device.write({ pk: [1], set: { a: 'fine', b: 'bad' } });
    const result = await client.apply(refused, device.write({ pk: [2], set: { a: 'fine' } }));
    assert.equal(result.applied, 1);
    const { transactionId } = refused;
    const of = { schema: 'main', table: 't', pk: [1], transactionId };
    assert.deepEqual(result.rejected, [
      {
        ...{ ...of, column: 'a', code: 'REJECTED' },
        reason: 'another change of its transaction was rejected',
      },
      { ...of, column: 'b', code: 'BAD', reason: 'bad' },
    ]);
  },
  { hooks: () => ({ onBeforeApplyChanges: VERDICTS['rejects transactions whole'] }) },
);

/** Rewrites that are stored elsewhere than where they were made. */
const MOVES: Record<string, (change: Change) => Change> = {
  'another table': (change) => ({ ...change, table: 'other' }),
  'another row': (change) => ({ ...change, pk: [...change.pk, 'moved'] }),
  'another column': (change) => (change.type === 'column' ? { ...change, column: 'z' } : change),
  'a soft delete': (change) => {
    const { schema, table, pk, hlc } = change;
    if (change.type === 'column') return change;
    return { type: 'column', schema, table, pk, hlc, column: 'deleted', value: true };
  },
  'a deletion of the row': ({ schema, table, pk, hlc }) => ({
    ...{ type: 'delete', schema, table, pk, hlc },
  }),
};

for (const [what, move] of Object.entries(MOVES)) {
  for (const onReject of ['keep', 'revert'] as const) {
    test(`a hook that makes ${what} of a change, with onReject: ${onReject}: its author holds what is stored`, async (t) => {
      let isJudging = false;
      const coordinator = await startCoordinator(t, {
        config: { hooks: { onReject } },
        hooks: {
          onBeforeApplyChanges: (_client, sets) =>
            judgeChanges(sets, (change) => (isJudging && isBad(change) ? move(change) : true)),
        },
      });
      const [ann, ben] = [await plainDevice(t, coordinator), await plainDevice(t, coordinator)];
      await ann.write('t', ['keep'], { a: 1, b: 2 });
      await assertConverged(coordinator, [ann, ben]);
      isJudging = true;
      await ann.write('t', ['new'], { a: 'bad', b: 'fine' });
      await ann.write('t', ['alone'], { a: 'bad' });
      await ann.write('t', ['keep'], { a: 'bad' });
      await assertConverged(coordinator, [ann, ben]);
      await ann.goOffline();
      const late = [ann.delete('t', ['keep']), ann.write('t', ['new'], { b: 'bad' })];
      await ben.write('t', ['keep'], { b: 'ben' });
      await ann.comeBack();
      await Promise.all(late);
      await assertConverged(coordinator, [ann, ben]);
    });
  }
}

/** Under one HLC, as the protocol lets a device send them. */
const underOneHlc = (set: WireChangeSet): WireChangeSet => ({
  ...set,
  changes: set.changes.map((change) => ({ ...change, hlc: set.hlc })),
});

for (const verdict of ['rejects single changes', 'rejects transactions whole']) {
  eachTransport(
    `a hook that ${verdict}: of two changes under one HLC the rejected one is rejected`,
    async ({ join }) => {
      const [device, other] = [new Device(1), new Device(2)];
      const client = await join(device);
      const set = underOneHlc(device.write({ pk: [1], set: { a: 'fine', b: 'bad' } }));
      const { applied, rejected } = await client.apply(set);
      const isAtomic = verdict === 'rejects transactions whole';
      assert.equal(applied, isAtomic ? 0 : 1);
      const columns = (rejected as { column: string }[]).map(({ column }) => column);
      assert.deepEqual(columns, isAtomic ? ['a', 'b'] : ['b']);
      const stored = changesIn(await (await join(other)).changesSince());
      assert.deepEqual(
        stored.map((change) => change.type === 'column' && change.column),
        isAtomic ? [] : ['a'],
      );
    },
    { hooks: () => ({ onBeforeApplyChanges: VERDICTS[verdict] }) },
  );
}

const INVALID: Record<string, Judge> = {
  'answers what nobody has sent': (_client, sets) => ({
    approved: sets.map((set) => ({
      ...set,
      changes: set.changes.map((change) => ({
        ...change,
        hlc: { ...change.hlc, wallTime: change.hlc.wallTime + 10_000_000n },
      })),
    })),
    rejected: [],
  }),
  'makes up a change elsewhere under the HLC of one that it gives back': (_client, sets) => ({
    approved: sets.map((set) => ({
      ...set,
      changes: set.changes.flatMap((change) => [change, { ...change, pk: ['made up'] }]),
    })),
    rejected: [],
  }),
  'makes two changes elsewhere of one': (_client, sets) => ({
    approved: sets.map((set) => ({
      ...set,
      changes: set.changes.flatMap((change) => [
        { ...change, table: 'u' },
        { ...change, table: 'v' },
      ]),
    })),
    rejected: [],
  }),
  'gives a change back twice': (_client, sets) => ({ approved: [...sets, ...sets], rejected: [] }),
  'gives a copy back as well': (_client, sets) => ({
    approved: [...sets, ...sets.map((set) => ({ ...set }))],
    rejected: [],
  }),
  'rejects what it approves': (_client, sets) => ({
    approved: sets,
    rejected: [{ table: 't', column: 'a', pk: [1], reason: 'bad' }],
  }),
  'rejects a table of which it approves all': (_client, sets) => ({
    approved: sets,
    rejected: [{ table: 't', reason: 'bad' }],
  }),
};

for (const [what, onBeforeApplyChanges] of Object.entries(INVALID)) {
  test(`a hook that ${what} has failed, and nothing of the batch is stored`, async (t) => {
    const coordinator = await startCoordinator(t, { hooks: { onBeforeApplyChanges } });
    const ann = await plainDevice(t, coordinator);
    await assert.rejects(ann.write('t', [1], { a: 1, b: 2 }), { code: 'HOOK_FAILED' });
    const ben = await plainDevice(t, coordinator);
    assert.deepEqual(ben.rows('t'), []);
  });
}

const told: ChangeSet[] = [];
let heard = deferred();

eachTransport(
  'what has been applied is told as it was stored: a rewritten change as the coordinator’s',
  async ({ join }) => {
    told.length = 0;
    heard = deferred();
    const [device, other] = [new Device(1), new Device(2)];
    const client = await join(device);
    await client.apply(device.write({ pk: [1], set: { a: 'bad', b: 'fine' } }));
    await heard.promise;
    const stored = await (await join(other)).changesSince();
    assert.deepEqual(
      told.map(({ siteId, changes }) => [siteIdToText(siteId), changes]),
      stored.map(({ siteId, changes }) => [siteId, changes.map(decodeChange)]),
    );
    assert.equal(new Set(stored.map(({ siteId }) => siteId)).size, 2);
  },
  {
    hooks: () => ({
      onBeforeApplyChanges: VERDICTS.rewrites,
      onAfterApplyChanges(_client, sets) {
        told.push(...sets);
        heard.resolve();
      },
    }),
  },
);

eachTransport(
  'who is told what was rejected is told of which schema and transaction it was',
  async ({ join }) => {
    const device = new Device(1);
    const bad = { set: { a: 'bad' } };
    const sets = [
      device.write({ pk: [1], ...bad }, { pk: [2], set: { a: 'good' } }),
      device.write({ schema: 'other', pk: [1], ...bad }),
      device.write({ pk: ['keep'], delete: true }),
      device.migrate('create_table', 'u'),
    ];
    const { rejected, applied } = await (await join(device)).apply(...sets);
    assert.equal(applied, 1);
    const [first, second, third, fourth] = sets.map(({ transactionId }) => transactionId);
    assert.deepEqual(rejected, [
      ...[
        { schema: 'main', table: 't', column: 'a', pk: [1], transactionId: first },
        { schema: 'other', table: 't', column: 'a', pk: [1], transactionId: second },
        { schema: 'main', table: 't', pk: ['keep'], transactionId: third },
      ].map((place) => ({ reason: 'bad', code: 'BAD', ...place })),
      { reason: 'no DDL', code: 'REJECTED', schema: 'main', table: 'u', transactionId: fourth },
      { reason: 'for all to hear', table: 'elsewhere' },
    ]);
  },
  {
    hooks: () => ({
      onBeforeApplyChanges: async (_client, sets) => {
        const judged = await judgeChanges(
          sets,
          (change) => (isBad(change) ? { reason: 'bad', code: 'BAD' } : true),
          { migration: () => ({ reason: 'no DDL' }) },
        );
        const hint = { reason: 'for all to hear', table: 'elsewhere' };
        return { ...judged, rejected: [...judged.rejected, hint] };
      },
    }),
  },
);
