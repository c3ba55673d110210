import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sameRow, spellingOf } from '../../../src/hooks/names/spelling.ts';
import type { Change } from '../../../src/protocol/types.ts';
import { decodeValue, pkIdentity, type SqlValue } from '../../../src/protocol/values.ts';

const HLC = { wallTime: 1n, counter: 0, siteId: new Uint8Array(16), opSeq: 0 };

function cell(schema: string, table: string, column: string): Change {
  return { type: 'column', schema, table, pk: [1], column, value: 1, hlc: HLC };
}

test('a table and its columns have one spelling, others that devices take for it, and no more', () => {
  const notes = { table: 'notes' };
  const owner = { table: 'notes', column: 'owner' };
  for (const [schema, table, column, ofTable, ofColumn] of [
    ['main', 'notes', 'owner', 'exact', 'exact'],
    ['main', 'notes', 'OWNER', 'exact', 'other'],
    ['main', 'notes', 'text', 'exact', 'none'],
    ['main', 'Notes', 'owner', 'other', 'other'],
    ['MAIN', 'notes', 'owner', 'other', 'other'],
    ['', 'notes', 'owner', 'other', 'other'],
    ['', 'notes', 'text', 'other', 'none'],
    ['aux', 'notes', 'owner', 'none', 'none'],
    ['main', 'notes2', 'owner', 'none', 'none'],
  ] as const) {
    const change = cell(schema, table, column);
    const what = JSON.stringify([schema, table, column]);
    assert.equal(spellingOf(change, notes), ofTable, what);
    assert.equal(spellingOf(change, owner), ofColumn, what);
  }
  const deletion: Change = { type: 'delete', schema: 'main', table: 'notes', pk: [1], hlc: HLC };
  assert.equal(spellingOf(deletion, notes), 'exact');
  assert.equal(spellingOf(deletion, owner), 'none');
  assert.equal(spellingOf(cell('AUX', 'notes', 'a'), { schema: 'aux', table: 'notes' }), 'other');
  assert.equal(spellingOf(cell('main', 'notes', 'a'), { schema: '', table: 'notes' }), 'other');
});

test('rows are the same exactly where the coordinator has one row', () => {
  const key = (pk: SqlValue[], schema?: string) => ({
    table: 'notes',
    pk,
    ...(schema && { schema }),
  });
  assert.ok(sameRow(key([1, 'a']), key([1n, 'a'], 'main')));
  assert.ok(sameRow(key([new Uint8Array([1])]), key([new Uint8Array([1])])));
  assert.ok(sameRow(key([{ a: 1, b: [2n ** 3n === 8n] }]), key([{ b: [true], a: 1 }])));
  for (const [a, b] of [
    [[], [1]],
    [[1], [1, 2]],
    [[1], ['1']],
    [[null], ['null']],
    [[9007199254740992], [9007199254740993n]],
    [[new Uint8Array([1])], [new Uint8Array([2])]],
    [[{ a: 1 }], [{ a: 2 }]],
  ] satisfies [SqlValue[], SqlValue[]][]) {
    assert.equal(sameRow(key(a), key(b)), false);
    assert.equal(sameRow(key(b), key(a)), false);
  }
  assert.equal(sameRow(key([1]), key([1], 'other')), false);
  const member = fc.oneof(
    fc.constantFrom<unknown>(0, 1, '1', null, true, { __bigint: '1' }, { __bin: 'AQ==' }),
    fc.constantFrom<unknown>({ __bin: 'AQ' }, { a: 1, b: 2 }, { b: 2, a: 1 }, [1]),
  );
  const keys = fc.array(member, { maxLength: 2 });
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      const isOne = sameRow(key(a.map(decodeValue)), key(b.map(decodeValue)));
      assert.equal(isOne, pkIdentity(a) === pkIdentity(b));
    }),
  );
});
