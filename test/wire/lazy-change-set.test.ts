import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeChangeSet, encodeChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { decodeLazily, untouchedOrigin } from '../../src/wire/lazy-change-set.ts';

const device = new Device(1);
const wire = device.write({ pk: [{ __bigint: '1' }], set: { a: { __bin: 'AAE=' }, b: 1 } });
const ddl = device.migrate('create_table', 'notes');

test('it is what decoding gives, whichever way one looks', () => {
  assert.deepEqual({ ...decodeLazily(wire) }, decodeChangeSet(wire));
  assert.deepEqual(Object.keys(decodeLazily(wire)), Object.keys(decodeChangeSet(wire)));
  const { changes, siteId } = decodeLazily(wire);
  assert.deepEqual(
    [changes, siteId],
    [decodeChangeSet(wire).changes, decodeChangeSet(wire).siteId],
  );
  assert.deepEqual(encodeChangeSet(decodeLazily(wire)), wire);
});

test('until somebody looks it is what it was made of', () => {
  const changeSet = decodeLazily(wire);
  assert.equal(changeSet.transactionId, wire.transactionId);
  assert.equal(untouchedOrigin(changeSet), wire);
  const looks: ((set: typeof changeSet) => unknown)[] = [
    (set) => set.changes,
    (set) => set.hlc,
    (set) => set.siteId,
    (set) => ({ ...set }),
    (set) => {
      set.transactionId = 'mine';
    },
    (set) => {
      set.changes = [];
    },
    (set) => {
      set.schemaMigrations = decodeLazily(ddl).schemaMigrations;
    },
    (set) => set.schemaMigrations.push(...decodeLazily(ddl).schemaMigrations),
  ];
  for (const look of looks) {
    const seen = decodeLazily(wire);
    look(seen);
    assert.equal(untouchedOrigin(seen), undefined, String(look));
  }
  const withDdl = decodeLazily(ddl);
  assert.equal(withDdl.schemaMigrations.length, 1);
  assert.equal(untouchedOrigin(withDdl), undefined, 'there is something to change');
  assert.equal(untouchedOrigin({ ...decodeLazily(wire) }), undefined, 'a copy is on its own');
});

test('that there is no DDL can be seen without decoding anything', () => {
  const changeSet = decodeLazily(wire);
  assert.deepEqual(changeSet.schemaMigrations, []);
  assert.equal(untouchedOrigin(changeSet), wire);
});

test('what is changed stays so, and the original is as it was', () => {
  const before = structuredClone(wire);
  const changeSet = decodeLazily(wire);
  changeSet.changes.pop();
  const [change] = changeSet.changes;
  assert.ok(change?.type === 'column');
  change.value = 'other';
  change.pk.push(2);
  changeSet.transactionId = 'mine';
  assert.equal(changeSet.changes.length, 1);
  assert.equal(encodeChangeSet(changeSet).transactionId, 'mine');
  assert.deepEqual(wire, before);
});

test('what is changed in place, however deep, is the one’s who looked: the original is as it was', () => {
  const device = new Device(1);
  const json = (list: number[]) => ({ list });
  const nested = device.write({ pk: [json([2, 1])], set: { a: json([2, 1]) } });
  const deletion = device.write({ pk: [2], delete: true });
  const [column, deleted] = [nested.changes[0], deletion.changes[0]];
  assert.ok(column?.type === 'column' && deleted?.type === 'delete');
  column.priorValue = json([2, 1]);
  column.priorHlc = device.hlc(1);
  deleted.priorRow = [json([2, 1])];
  const before = structuredClone([nested, deletion]);
  for (const set of [nested, deletion].map(decodeLazily)) {
    for (const change of set.changes) {
      const values: unknown[] = [...change.pk];
      if (change.type === 'column') values.push(change.value, change.priorValue);
      else values.push(...(change.priorRow ?? []));
      for (const value of values) {
        if (typeof value === 'object') (Reflect.get(value ?? {}, 'list') as number[]).sort();
      }
      change.hlc.siteId.fill(0);
    }
  }
  assert.deepEqual([nested, deletion], before);
});
