/** Who is told of a batch learns what became of each of its changes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc } from '../../src/clock/hlc.ts';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { AppliedCall, ChangeOutcome, CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

/** In a few words. */
function brief(outcome: ChangeOutcome): unknown[] {
  const { change } = outcome;
  const place = 'ddl' in change ? change.type : change.type === 'column' ? change.column : 'row';
  switch (outcome.outcome) {
    case 'rejected':
      return [place, outcome.outcome, outcome.code, outcome.reason];
    case 'lost':
      return [place, outcome.outcome, outcome.to && encodeHlc(outcome.to)];
    case 'known':
      return [place, outcome.outcome];
    default: {
      const { stored } = outcome;
      const value = 'value' in stored ? stored.value : undefined;
      return [place, outcome.outcome, value, encodeHlc(stored.hlc) === encodeHlc(change.hlc)];
    }
  }
}

const judging: CoordinatorHooks = {
  onBeforeApplyChanges: (_client, changeSets) =>
    judgeChanges(changeSets, (change) => {
      if (change.type !== 'column') return true;
      if (change.value === 'bad') return { reason: 'bad', code: 'BAD' };
      return change.value === 'rewrite' ? { ...change, value: 'rewritten' } : true;
    }),
};

test('each change as it was sent: applied, rewritten, known, lost and to what, or rejected and why', async (t) => {
  const told: AppliedCall[] = [];
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      ...judging,
      onAfterApplyChanges: (_client, _changes, _result, call) => {
        told.push(call);
      },
    },
  });
  const [ann, ben] = [new Device(1), new Device(2)];
  const [first, second] = [
    await TestClient.join(server.wsUrl, ann, t),
    await TestClient.join(server.wsUrl, ben, t),
  ];
  ben.wallTime += 1000;
  const newer = ben.write({ pk: [1], set: { beaten: 'newer' } }, { pk: [2], delete: true });
  await second.apply(newer);
  const [winner, deletion] = newer.changes;
  const known = ann.write({ pk: [1], set: { known: 1 } });
  await first.apply(known);
  const mixed = ann.write(
    { pk: [1], set: { fine: 1, refused: 'bad', other: 'rewrite', beaten: 'older' } },
    { pk: [2], set: { gone: 1 } },
    { pk: [3], delete: true },
  );
  const drop = ann.migrate('drop_table', 't', { ddl: 'DROP TABLE t' });
  const foreign = new Device(3).write({ pk: [4], set: { foreign: 1 } });
  await first.apply(known, mixed, drop, foreign);
  const [, , call] = told;
  assert.deepEqual(call?.outcomes.map(brief), [
    ['known', 'known'],
    ['fine', 'applied', 1, true],
    ['refused', 'rejected', 'BAD', 'bad'],
    ['other', 'rewritten', 'rewritten', false],
    ['beaten', 'lost', winner?.hlc],
    ['gone', 'lost', deletion?.hlc],
    ['row', 'applied', undefined, true],
    [
      'drop_table',
      'rejected',
      'DDL_NOT_JUDGED',
      'drop_table of t, or its text, may do more than to add to tables, and the rules here are about rows only',
    ],
    [
      'foreign',
      'rejected',
      'FOREIGN_AUTHOR',
      'another device has dated this change, and has to send it itself (sync.foreignAuthors)',
    ],
  ]);
  assert.deepEqual(
    call?.outcomes.map(({ transactionId }) => transactionId),
    [known, ...mixed.changes.map(() => mixed), drop, foreign].map((set) => set.transactionId),
  );
  const stored = call?.outcomes.flatMap((each) => ('stored' in each ? [each.stored] : []));
  const sent = await second.changesSince();
  const hlcs = new Set(sent.flatMap(({ changes }) => changes.map(({ hlc }) => hlc)));
  for (const change of stored ?? []) assert.ok(hlcs.has(encodeHlc(change.hlc)));
  assert.ok(call?.position !== undefined);
});

test('a rewrite that loses is told as lost; each module has outcomes of its own', async (t) => {
  const told: ChangeOutcome[][] = [];
  const watching = {
    onAfterApplyChanges: (
      _client: unknown,
      _changes: unknown,
      _result: unknown,
      call: AppliedCall,
    ) => {
      told.push([...call.outcomes]);
    },
  };
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: { modules: ['one', 'two'].map((name) => defineHooks({ name, hooks: watching })) },
    },
    hooks: judging,
  });
  const [ann, ben] = [new Device(1), new Device(2)];
  ben.wallTime += 1000;
  const second = await TestClient.join(server.wsUrl, ben, t);
  const newer = ben.write({ pk: [1], set: { a: 'newer' } });
  await second.apply(newer);
  const first = await TestClient.join(server.wsUrl, ann, t);
  await first.apply(ann.write({ pk: [1], set: { a: 'rewrite' } }));
  const [, , one, two] = told;
  for (const outcomes of [one, two]) {
    const [outcome] = outcomes ?? [];
    assert.equal(outcome?.outcome, 'lost');
    assert.equal(outcome.to && encodeHlc(outcome.to), newer.changes[0]?.hlc);
  }
  assert.notEqual(one?.[0], two?.[0]);
});
