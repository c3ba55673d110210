import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { LONE_HIGH, NAMES, VALUES } from '../support/values.ts';

test('every value, name and key comes out as it went in, by delta and by snapshot', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const writes = NAMES.flatMap((name, i) =>
    VALUES.map((value, j) => ({
      table: name,
      pk: [name, i, j, value],
      set: Object.fromEntries([[NAMES[j % NAMES.length] ?? '', value]]),
    })),
  );
  const changeSet = device.write(...writes);
  // Written as a client writes it: what JSON can't say was never in it.
  const sent = JSON.parse(JSON.stringify(changeSet));
  await manager.apply([sent]);
  const [received] = await readAll(manager);
  assert.deepEqual(received?.changes, sent.changes);

  const entries = (await takeSnapshot(manager))
    .filter(({ type }) => type === 'column-versions')
    .flatMap(({ table, entries }) =>
      (entries as Record<string, unknown>[]).map(({ column, hlc, value, pk }) =>
        JSON.stringify({ table, column, hlc, value, pk }),
      ),
    )
    .sort();
  const expected = sent.changes
    .map(({ table, column, hlc, value, pk }: Record<string, unknown>) =>
      JSON.stringify({ table, column, hlc, value, pk }),
    )
    .sort();
  assert.deepEqual(entries, expected);
});

test('numbers and bigints of one value are one key; the winning change says how it is spelled', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  await manager.apply([
    device.write({ pk: [5], set: { a: 'first', b: 'stays' } }),
    device.write({ pk: [{ __bigint: '5' }], set: { a: 'second' } }),
  ]);
  const [chunk] = (await takeSnapshot(manager)).filter(({ type }) => type === 'column-versions');
  const entries = chunk?.entries as { column: string; pk: unknown[]; value: string }[];
  assert.equal(entries.length, 2, 'one row');
  const byColumn = Object.fromEntries(
    entries.map(({ column, pk, value }) => [column, [pk, value]]),
  );
  assert.deepEqual(byColumn, { a: [[{ __bigint: '5' }], 'second'], b: [[5], 'stays'] });
});

test('keys of different kinds are different rows, whatever their text', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const long = 'x'.repeat(5000);
  const keys = [
    [1],
    ['1'],
    [true],
    ['true'],
    [null],
    ['null'],
    [{ __bin: 'MQ==' }],
    [[1]],
    [{ a: 1 }],
    ['a', 'b'],
    ['a,b'],
    ['a","b'],
    [],
    [''],
    ['', ''],
    [LONE_HIGH],
    ['\ud801'],
    ['\ufffd'],
    [long],
    [`${long}y`],
    [1.5],
    [{ __bigint: '9007199254740993' }],
    [9007199254740992],
  ];
  await manager.apply([device.write(...keys.map((pk, i) => ({ pk, set: { i } })))]);
  const start = (await takeSnapshot(manager)).find(({ type }) => type === 'table-start');
  assert.equal(start?.estimatedEntries, keys.length);
  const again = await manager.apply([
    device.write(...keys.map((pk) => ({ pk, delete: true as const }))),
  ]);
  assert.equal(again.applied, keys.length);
  assert.equal(
    (await takeSnapshot(manager)).some(({ type }) => type === 'table-start'),
    false,
  );
});
