/** One change of a client has one outcome, whatever the modules made of it before one rejected it. */

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { AppliedCall, ChangeOutcome, ClientIdentity } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import type { ApplyResult, Change, ChangeSet, RejectedChange } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';

type Verdict = ReturnType<Parameters<typeof judgeChanges>[1]>;

/** A module that judges change by change. */
const judging = (name: string, judge: (change: Change) => Verdict) =>
  defineHooks({
    name,
    hooks: {
      onBeforeApplyChanges: (_client: ClientIdentity, sets: ChangeSet[]) =>
        judgeChanges(sets, judge, { migration: () => true }),
    },
  });

const ROWS_APART = 500;

/** Each to another place, and none twice. */
const moving = judging('move', (change) => {
  if (change.type === 'delete') {
    const { schema, table, pk, hlc } = change;
    return change.pk[0] === 'soft'
      ? { type: 'column', schema, table, pk, column: 'gone', value: 'softly', hlc }
      : true;
  }
  if (change.value === 'table') return { ...change, table: 'archive', value: 'moved' };
  if (change.value === 'row') return { ...change, pk: [Number(change.pk[0]) + ROWS_APART] };
  if (change.value === 'kept') return { ...change, table: 'kept' };
  return change.value === 'column' ? { ...change, column: 'other', value: 'moved' } : true;
});

/** Moves nothing twice, and knows one name of a table. */
function byName(change: Change): Verdict {
  if (change.table === 'archive') return { reason: 'not there', code: 'NOT_THERE' };
  if (change.type !== 'column' || change.value !== 'row') return true;
  return { ...change, pk: [Number(change.pk[0]) + ROWS_APART] };
}

const rejecting = judging('reject', (change) => {
  const isMoved =
    change.type === 'column' &&
    (change.table === 'archive' || change.column === 'other' || change.value === 'softly');
  const isFar = Number(change.pk[0]) > ROWS_APART;
  return isMoved || isFar ? { reason: 'not there', code: 'NOT_THERE' } : true;
});

const toPlaces = (said: readonly RejectedChange[] = []) =>
  said.map(({ table, column, pk, code }) => [table, column, pk, code]);

const toOutcome = (each: ChangeOutcome) => [
  each.outcome,
  each.outcome === 'rejected' ? each.code : undefined,
];

interface Told {
  rejected?: readonly RejectedChange[];
  outcomes: readonly ChangeOutcome[];
}

const told = new EventEmitter();
const watching = defineHooks({
  name: 'watch',
  hooks: {
    onAfterApplyChanges: (
      _client: ClientIdentity,
      _changes: ChangeSet[],
      { rejected }: ApplyResult,
      { outcomes }: AppliedCall,
    ) => {
      told.emit('applied', { rejected, outcomes });
    },
  },
});

eachTransport(
  'a change that was moved and then rejected is told once, by the place where its author made it',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const hooksTold = once(told, 'applied');
    const result = await client.apply(
      device.write(
        { pk: [1], set: { a: 'table', b: 'row', c: 'column', d: 'fine' } },
        { pk: ['soft'], delete: true },
      ),
    );
    const expected = [
      ['t', 'a', [1], 'NOT_THERE'],
      ['t', 'b', [1], 'NOT_THERE'],
      ['t', 'c', [1], 'NOT_THERE'],
      ['t', undefined, ['soft'], 'NOT_THERE'],
    ];
    assert.equal(result.applied, 1);
    assert.deepEqual(toPlaces(result.rejected as RejectedChange[]), expected);
    const [{ rejected, outcomes }] = (await hooksTold) as [Told];
    assert.deepEqual(toPlaces(rejected), expected);
    const no = ['rejected', 'NOT_THERE'];
    assert.deepEqual(outcomes.map(toOutcome), [no, no, no, ['applied', undefined], no]);
  },
  { hooks: () => [moving, rejecting, watching] },
);

eachTransport(
  'of two moved changes under one HLC the one that was rejected is told as such, the other is stored',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const set = device.write({ pk: [1], set: { a: 'table' } }, { pk: [2], set: { b: 'kept' } });
    for (const change of set.changes) change.hlc = set.hlc;
    const hooksTold = once(told, 'applied');
    const result = await client.apply(set);
    assert.deepEqual(toPlaces(result.rejected as RejectedChange[]), [['t', 'a', [1], 'NOT_THERE']]);
    const [{ outcomes }] = (await hooksTold) as [Told];
    const expected = [
      ['rejected', 'NOT_THERE'],
      ['rewritten', undefined],
    ];
    assert.deepEqual(outcomes.map(toOutcome), expected);
    assert.match(JSON.stringify(await client.snapshot()), /"kept"/);
  },
  { hooks: () => [moving, rejecting, watching] },
);

eachTransport(
  'what is moved and rejected under another name of its table is told once, by the written one',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    await client.apply(
      device.migrate('create_table', 'archive'),
      device.migrate('rename_table', 'now', { fromTable: 'archive', schemaVersion: 2 }),
    );
    const result = await client.apply(
      device.write({ table: 'now', pk: [1], set: { a: 'row', b: 'fine' } }),
    );
    assert.equal(result.applied, 0);
    assert.deepEqual(toPlaces(result.rejected as RejectedChange[]), [
      ['now', 'a', [1], 'NOT_THERE'],
      ['now', 'b', [1], 'NOT_THERE'],
    ]);
  },
  { hooks: () => [judging('byName', byName)] },
);
