import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device, type RowWrite } from '../../../src/testing/device.ts';
import { explain } from '../verdicts.ts';

const refused = (...writes: RowWrite[]) => [new Device(1).write(...writes)];
const placeOfSet = ([set]: readonly { transactionId: string }[]) => ({
  schema: 'main',
  transactionId: set?.transactionId,
});
const unexplained = { reason: 'rejected', code: 'REJECTED' };

test('each change gets an entry, also where nobody said why', () => {
  const sets = refused({ pk: [1], set: { a: 1, b: 2 } }, { pk: [2], delete: true });
  const of = { ...unexplained, ...placeOfSet(sets), table: 't' };
  assert.deepEqual(explain(sets, []), [
    { ...of, column: 'a', pk: [1] },
    { ...of, column: 'b', pk: [1] },
    { ...of, pk: [2] },
  ]);
});

test('the first entry that fits explains it, as far as it names its parts', () => {
  const sets = refused({ pk: [1], set: { a: 1, b: 2 } }, {
    table: 'u',
    pk: [1n],
    set: { a: 1 },
  } as never);
  const said = [
    { reason: 'cell', table: 't', column: 'b', pk: [1] },
    { reason: 'table', code: 'T', table: 't' },
    { reason: 'anything' },
  ];
  assert.deepEqual(
    explain(sets, said).map(({ reason, code }) => [reason, code]),
    [
      ['table', 'T'],
      ['cell', 'REJECTED'],
      ['anything', 'REJECTED'],
    ],
  );
});

test('keys are compared by value, whatever they are', () => {
  const sets = refused({ pk: [{ __bigint: '5' }, { __bin: 'AAE=' }], set: { a: 1 } });
  const said = [{ reason: 'this', pk: [5, Uint8Array.of(0, 1)] }];
  assert.deepEqual(
    explain(sets, said),
    [{ reason: 'this', code: 'REJECTED', table: 't', column: 'a', pk: [5n, Buffer.of(0, 1)] }].map(
      (entry) => ({ ...entry, ...placeOfSet(sets), pk: [5n, new Uint8Array([0, 1])] }),
    ),
  );
});

test('names are never taken for a part that is left open', () => {
  for (const name of ['*', '0', '', 'null', '__proto__', '["t"]', 'ü\u0000']) {
    const sets = refused({ table: 'other', pk: [1], set: { column: 1 } });
    const said = [
      { reason: 'another', table: name },
      { reason: 'this', table: 'other' },
    ];
    const [entry, ...rest] = explain(sets, said);
    assert.equal(entry?.reason, 'this', name);
    assert.deepEqual(rest, [{ reason: 'another', table: name }]);
  }
});

test('what speaks for no change is told all the same, once', () => {
  const hint = { reason: 'the sale is over' };
  assert.deepEqual(explain([], [hint]), [hint]);
  const sets = refused({ pk: [1], set: { a: 1 } });
  assert.equal(explain(sets, [hint]).length, 1);
});

test('DDL is named by its table', () => {
  const sets = [new Device(1).migrate('drop_table', 'tasks')];
  assert.deepEqual(explain(sets, [{ reason: 'no', table: 'tasks' }]), [
    { reason: 'no', code: 'REJECTED', table: 'tasks', ...placeOfSet(sets) },
  ]);
});

test('many changes with an entry each are no more than that', () => {
  const set = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`c${i}`, i]));
  const said = Object.keys(set).map((column) => ({ reason: column, table: 't', column, pk: [1] }));
  const explained = explain(refused({ pk: [1], set }), said.toReversed());
  assert.ok(explained.every(({ reason, column }) => reason === column));
});
