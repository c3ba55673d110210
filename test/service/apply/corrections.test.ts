import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidAnswer } from '../../../src/hooks/invalid-answer.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { type Change, type ChangeSet, decodeChangeSet } from '../../../src/protocol/types.ts';
import { Device } from '../../../src/testing/device.ts';
import { separate } from '../verdicts.ts';

/** As a hook has them: nothing shared with what came in. */
function approve(
  originals: readonly WireChangeSet[],
  rewrite: (change: Change) => Change = (change) => change,
): ChangeSet[] {
  return originals.map((original) => {
    const changeSet = decodeChangeSet(structuredClone(original));
    return { ...changeSet, changes: changeSet.changes.map(rewrite) };
  });
}

const valuesIn = (changeSets: readonly WireChangeSet[]) =>
  changeSets.flatMap(({ changes }) =>
    changes.map((change) => (change.type === 'column' ? change.value : 'deleted')),
  );

/** The rude are silenced. */
const soften = (change: Change): Change =>
  change.type === 'column' && change.value === 'rude' ? { ...change, value: '****' } : change;

const ODD_VALUES: [what: string, value: unknown][] = [
  ['a bigint with zeros in front', { __bigint: '007' }],
  ['minus zero as a bigint', { __bigint: '-0' }],
  ['base64 without padding', { __bin: 'AA' }],
  ['base64 with bits to spare', { __bin: 'AB==' }],
  ['no bytes', { __bin: '' }],
  ['an object that only looks like a bigint', { __bigint: '1', and: 'more' }],
  ['members in an order of their own', { b: [1, { z: null, a: '€' }], a: -0 }],
  ['null', null],
  ['a big number', 1e300],
];

for (const [what, value] of ODD_VALUES) {
  test(`what a hook lets pass goes on verbatim: ${what}`, () => {
    const device = new Device(1);
    const originals = [device.write({ pk: [value], set: { x: value } })];
    const { changeSets, compensations } = separate(originals, approve(originals));
    assert.equal(JSON.stringify(changeSets), JSON.stringify(originals));
    assert.deepEqual(compensations, []);
  });
}

test('prior values and prior rows go on verbatim as well', () => {
  const device = new Device(1);
  const original = device.write({ pk: [1], set: { x: 1 } }, { pk: [2], delete: true });
  const [column, deletion] = original.changes;
  assert.ok(column?.type === 'column' && deletion?.type === 'delete');
  column.priorValue = { __bigint: '007' };
  column.priorHlc = device.hlc(1);
  deletion.priorRow = [{ __bin: 'AA' }];
  const { changeSets } = separate([original], approve([original]));
  assert.deepEqual(changeSets, [original]);
});

test('a field that the protocol does not know makes no difference', () => {
  for (const field of ['ddl', 'note', 'type2']) {
    const original = new Device(1).write({ pk: [1], set: { x: 1 } });
    const [change] = original.changes;
    assert.ok(change !== undefined);
    Object.assign(change, { [field]: 'unknown' });
    const { compensations } = separate([original], approve([original]));
    assert.deepEqual(compensations, [], field);
  }
});

test('what was rewritten is told apart from what was not, in one transaction', () => {
  const original = new Device(1).write({ pk: [1], set: { a: 'fine', b: 'rude', c: 'too' } });
  const { changeSets, compensations } = separate([original], approve([original], soften));
  assert.deepEqual(valuesIn(changeSets), ['fine', 'too']);
  assert.deepEqual(valuesIn(compensations), ['****']);
  const [kept, rewritten] = [changeSets[0], compensations[0]];
  assert.equal(kept?.transactionId, original.transactionId);
  assert.equal(rewritten?.transactionId, original.transactionId);
  assert.equal(rewritten?.changes[0]?.hlc, original.changes[1]?.hlc, 'it says what it answers');
});

test('a transaction of which all was rewritten leaves no empty one behind', () => {
  const original = new Device(1).write({ pk: [1], set: { a: 'rude' } });
  const { changeSets, compensations } = separate([original], approve([original], soften));
  assert.deepEqual(changeSets, []);
  assert.deepEqual(valuesIn(compensations), ['****']);
});

test('what a hook did not give back in any form was refused', () => {
  const device = new Device(1);
  const originals = [
    device.write({ pk: [1], set: { a: 'rude', b: 'fine' } }),
    device.write({ pk: [2], set: { c: { __bigint: '007' } } }),
  ];
  const rewritten = separate(originals, approve(originals, soften));
  assert.deepEqual(rewritten.refused, []);
  const [first] = approve(originals, soften);
  assert.ok(first !== undefined);
  const cut = { ...first, changes: first.changes.slice(0, 1) };
  const { refused } = separate(originals, [cut]);
  assert.deepEqual(valuesIn(refused), ['fine', { __bigint: '007' }], 'verbatim');
});

test('what was not approved goes nowhere; an empty transaction stays one', () => {
  const device = new Device(1);
  const originals = [device.write({ pk: [1], set: { a: 1 } }), device.write()];
  const [, empty] = originals;
  const none = separate(originals, []);
  assert.deepEqual([none.changeSets, none.compensations], [[], []]);
  const { changeSets } = separate(originals, approve(originals.slice(1)));
  assert.deepEqual(changeSets, [empty]);
});

test('the same transaction twice stays twice', () => {
  const original = new Device(1).write({ pk: [1], set: { a: { __bigint: '007' } } });
  const twice = [original, structuredClone(original)];
  const { changeSets, compensations } = separate(twice, approve(twice));
  assert.deepEqual(changeSets, twice);
  assert.deepEqual(compensations, []);
});

test('one value in two spellings under one HLC is the author’s in either', () => {
  const original = new Device(1).write({ pk: [1], set: { a: { __bigint: '7' } } });
  const other = structuredClone(original);
  const [change] = other.changes;
  assert.ok(change?.type === 'column');
  change.value = { __bigint: '007' };
  const { changeSets, compensations } = separate([original, other], approve([original, other]));
  assert.deepEqual(compensations, []);
  assert.equal(valuesIn(changeSets).length, 2);
});

test('what answers nothing is no verdict', () => {
  const device = new Device(1);
  const original = device.write({ pk: [1], set: { a: 1 } });
  const added = decodeChangeSet(device.write({ pk: [2], set: { a: 2 } }));
  const approved = [...approve([original]), added];
  assert.throws(() => separate([original], approved), InvalidAnswer);
});

/** What is left at the author of a change that came back as `made`. */
function movedOf(original: WireChangeSet, made: (change: Change) => Change) {
  const { moved, compensations, refused } = separate([original], approve([original], made));
  assert.equal(compensations.flatMap(({ changes }) => changes).length, 1);
  assert.deepEqual(refused, []);
  return moved;
}

test('what came back elsewhere was moved; in its place, or with its row deleted, it was not', () => {
  const device = new Device(1);
  const write = device.write({ table: 'Tasks', pk: [1], set: { a: 1 } });
  const deletion = device.write({ table: 'Tasks', pk: [1], delete: true });
  const deleteOf = ({ schema, table, pk, hlc }: Change): Change => {
    return { type: 'delete', schema, table, pk, hlc };
  };
  const flagOf = ({ schema, table, pk, hlc }: Change): Change => {
    return { type: 'column', schema, table, pk, hlc, column: 'deleted', value: true };
  };
  assert.deepEqual(
    movedOf(write, (change) => ({ ...change, table: 'u' })),
    [write],
  );
  assert.deepEqual(
    movedOf(write, (change) => ({ ...change, pk: [2] })),
    [write],
  );
  assert.deepEqual(movedOf(write, flagOf), [write]);
  assert.deepEqual(movedOf(deletion, flagOf), [deletion]);
  assert.deepEqual(
    movedOf(write, (change) => ({ ...deleteOf(change), pk: [2] })),
    [write],
  );
  // Clients don't tell these apart.
  assert.deepEqual(
    movedOf(write, (change) => ({ ...change, table: 'tasks' })),
    [],
  );
  assert.deepEqual(movedOf(write, deleteOf), []);
});

test('of two changes under one HLC each stands for itself', () => {
  const original = new Device(1).write({ pk: [1], set: { a: 1, b: 2 } });
  for (const change of original.changes) change.hlc = original.hlc;
  for (const [i, [left, refused]] of [
    [[1], [2]],
    [[2], [1]],
  ].entries()) {
    const [approved] = approve([original]);
    assert.ok(approved !== undefined);
    const answer = { ...approved, changes: approved.changes.slice(i, i + 1) };
    const separated = separate([original], [answer]);
    assert.deepEqual(valuesIn(separated.changeSets), left);
    assert.deepEqual(valuesIn(separated.refused), refused);
    assert.deepEqual(valuesIn(separated.compensations), []);
  }
});

test('a change that comes twice under one HLC may be moved as often, and no oftener', () => {
  const original = new Device(1).write({ pk: [1], set: { a: 1 } });
  const twice = { ...original, changes: [...original.changes, ...original.changes] };
  const [approved] = approve([twice]);
  const [change] = approved?.changes ?? [];
  assert.ok(approved !== undefined && change !== undefined);
  const moved = { ...change, pk: [2] };
  const separated = separate([twice], [{ ...approved, changes: [moved, moved] }]);
  assert.deepEqual(valuesIn(separated.compensations), [1, 1]);
  assert.deepEqual(valuesIn(separated.moved), [1, 1]);
  const answer = [{ ...approved, changes: [moved, moved, moved] }];
  assert.throws(() => separate([twice], answer), /comes a second time under one HLC/);
});

test('a change that was moved to another transaction is still its author’s', () => {
  const device = new Device(1);
  const originals = [
    device.write({ pk: [1], set: { a: 1 } }),
    device.write({ pk: [2], set: { a: 2 } }),
  ];
  const [first, second] = approve(originals);
  assert.ok(first !== undefined && second !== undefined);
  const merged = [{ ...first, changes: [...first.changes, ...second.changes] }];
  const { changeSets, compensations } = separate(originals, merged);
  assert.deepEqual(valuesIn(changeSets), [1, 2]);
  assert.deepEqual(compensations, []);
});

test('migrations that a hook left alone are their author’s, in whatever order it names their fields', () => {
  const original = new Device(1).migrate('rename_table', 'new', { fromTable: 'old' });
  const [approved] = approve([original]);
  assert.ok(approved !== undefined);
  for (const order of [
    (entries: [string, unknown][]) => entries,
    (entries: [string, unknown][]) => entries.toReversed(),
  ]) {
    const schemaMigrations = approved.schemaMigrations.map(
      (migration) =>
        Object.fromEntries(order(Object.entries(migration))) as unknown as typeof migration,
    );
    const separated = separate([original], [{ ...approved, schemaMigrations }]);
    assert.deepEqual(separated.changeSets, [original]);
    assert.deepEqual(separated.compensations, []);
  }
});

test('a migration that was rewritten is the coordinator’s', () => {
  const original = new Device(1).migrate('add_column', 't', { ddl: 'alter table t add x' });
  const [approved] = approve([original]);
  assert.ok(approved !== undefined);
  const schemaMigrations = approved.schemaMigrations.map((migration) => ({
    ...migration,
    ddl: 'alter table t add x text',
  }));
  const { changeSets, compensations } = separate([original], [{ ...approved, schemaMigrations }]);
  assert.deepEqual(changeSets, []);
  assert.equal(compensations[0]?.schemaMigrations[0]?.ddl, 'alter table t add x text');
});
