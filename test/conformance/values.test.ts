import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { VECTORS } from '../wire/vectors.ts';
import { startDeployment } from './deployment.ts';
import { eachTransport, RELAYING } from './each-transport.ts';
import { cellsIn, changesIn, contentsOf, tombstonesIn } from './look.ts';
import { overHttp } from './transport.ts';

const LONE = '\ud800';
const TEXTS = [
  '',
  'plain',
  'a:b',
  'x.y',
  '"',
  '\\',
  'tab\t',
  'line\n',
  'nul\u0000',
  '\u2028',
  LONE,
  '🚀',
  '__proto__',
  'constructor',
  ' ',
  'é',
  'e\u0301',
  'x'.repeat(1000),
];
const VALUES = [
  ...VECTORS.values.map(({ wire }) => wire),
  { a: [1, { b: null }], __bigint: 'not alone' },
  [],
  [[[]]],
  JSON.parse('{"__proto__": {"x": 1}}'),
  { __bin: 'AAEC/v8=', more: 1 },
  [{ __bigint: '1' }],
  1.7976931348623157e308,
  5e-324,
  'x'.repeat(100_000),
];

/** A key has 64 KiB. */
const inKey = (value: unknown) => (typeof value === 'string' ? value.slice(0, 60_000) : value);

eachTransport(
  'the vectors go through unchanged',
  async ({ t, join }) => {
    const [values, mixed, ddl] = VECTORS.changeSets;
    assert.ok(values && mixed && ddl);
    t.mock.timers.enable({ apis: ['Date'], now: 1_795_000_001_000 });
    const [anna, ben] = [await join(new Device(1)), await join(new Device(2))];
    const received: WireChangeSet[] = [];
    for (const changeSet of [values, mixed, ddl]) {
      await anna.apply(changeSet);
      received.push(...(await ben.changesSince(received.at(-1)?.hlc)));
    }
    const exceptPosition = (changeSet: WireChangeSet) => ({ ...changeSet, hlc: '' });
    assert.deepEqual(received.map(exceptPosition), VECTORS.changeSets.map(exceptPosition));
  },
  RELAYING,
);

eachTransport('every value, name and key comes out as it went in', async ({ join }) => {
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const writes = TEXTS.flatMap((name, i) =>
    VALUES.map((value, j) => ({
      schema: name,
      table: TEXTS[(i + j) % TEXTS.length] ?? '',
      pk: [name, i, j, inKey(value)],
      set: Object.fromEntries([[TEXTS[j % TEXTS.length] ?? '', value]]),
    })),
  ).filter((_, i) => i % 7 === 0 || i < VALUES.length);
  // As a client writes it: what JSON can't say was never in it.
  const sent: WireChangeSet = JSON.parse(JSON.stringify(a.write(...writes)));
  const [first] = sent.changes;
  assert.ok(first?.type === 'column');
  first.priorValue = { __bigint: '-0012' };
  first.priorHlc = a.hlc(5);
  sent.transactionId = TEXTS.slice(0, 12).join('');
  await anna.apply(sent);
  const [received] = await ben.changesSince();
  assert.deepEqual(received?.changes, sent.changes);
  assert.equal(received?.transactionId, sent.transactionId);
  const key = (cell: object) => JSON.stringify(Object.entries(cell).sort());
  const cells = cellsIn(await ben.snapshot()).map(key);
  const expected = sent.changes.map((change) => {
    assert.ok(change.type === 'column');
    const { schema, table, column, hlc, value, pk } = change;
    return key({ schema, table, column, hlc, value, pk });
  });
  assert.deepEqual(cells.sort(), expected.sort());
});

eachTransport(
  'a bigint and a number of one value are one row; the winner says how it is spelled',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    await anna.apply(a.write({ pk: [5], set: { x: 'first' } }));
    await anna.apply(a.write({ pk: [{ __bigint: '5' }], set: { x: 'second' } }));
    const chunks = await ben.snapshot();
    assert.deepEqual(contentsOf(chunks), { 't [{"__bigint":"5"}] x': 'second' });
    await anna.apply(a.write({ pk: [5.0], delete: true }));
    assert.deepEqual(contentsOf(await ben.snapshot()), {});
  },
);

eachTransport('keys of other kinds are other rows, whatever their text', async ({ join }) => {
  const a = new Device(1);
  const anna = await join(a);
  const keys = [
    [1],
    ['1'],
    [true],
    ['true'],
    [null],
    ['null'],
    [{ __bin: 'MQ==' }],
    [[1]],
    [],
    [''],
  ];
  const pairs = [['a', 'b'], ['a,b'], ['a","b'], ['a\u0000b'], [LONE], ['\ufffd'], [{ a: 1 }]];
  const all: unknown[][] = [...keys, ...pairs];
  await anna.apply(a.write(...all.map((pk, x) => ({ pk, set: { x } }))));
  const values = cellsIn(await anna.snapshot()).map(({ value }) => value);
  assert.deepEqual(
    values.sort((x, y) => Number(x) - Number(y)),
    [...all.keys()],
  );
});

eachTransport(
  'what a delete says of the row that it took is kept: absent, empty or full',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    const priors: (unknown[] | undefined)[] = [undefined, [], [1, null, { __bin: 'CQ==' }, LONE]];
    const sent = a.write(...priors.map((_, i) => ({ pk: [i], delete: true as const })));
    for (const [i, change] of sent.changes.entries()) {
      const priorRow = priors[i];
      if (change.type === 'delete' && priorRow !== undefined) change.priorRow = priorRow;
    }
    await anna.apply(sent);
    assert.deepEqual(changesIn(await ben.changesSince()), sent.changes);
    const tombstones = tombstonesIn(await ben.snapshot());
    assert.deepEqual(
      tombstones.map(({ pk, priorRow }) => [pk, priorRow]).sort(),
      priors.map((priorRow, i) => [[i], priorRow]).sort(),
    );
  },
);

test('a hook that approves everything changes nothing', async (t) => {
  const server = await startDeployment(t, {
    config: { storage: 'memory:' },
    hooks: {
      onBeforeApplyChanges: async (_client, approved) => ({ approved, rejected: [] }),
    },
  });
  const a = new Device(1);
  const anna = await overHttp(server, a, t);
  const ben = await overHttp(server, new Device(2), t);
  const writes = VALUES.map((value, i) => ({
    pk: [i, inKey(value)],
    set: Object.fromEntries([[TEXTS[i % TEXTS.length] ?? '', value]]),
  }));
  const sent: WireChangeSet = JSON.parse(
    JSON.stringify(a.write(...writes, { pk: [], delete: true })),
  );
  await anna.apply(sent);
  assert.deepEqual(changesIn(await ben.changesSince()), sent.changes);
});
