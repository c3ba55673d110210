import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Sender } from '../../src/engine/merge/foreign-authors.ts';
import type { KVReader, KVTransaction } from '../../src/storage/kv-store.ts';
import { Device } from '../../src/testing/device.ts';
import type { Finding, FindingCode } from '../../src/verify/findings.ts';
import { type VerifyOptions, verifyDatabase } from '../../src/verify/verify.ts';
import { openEngine } from '../support/engine.ts';
import { DAY_MS, delays, history, runHistory } from '../support/history.ts';
import { runs } from '../support/runs.ts';

async function findingsOf(reader: KVReader, options?: VerifyOptions): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const found of verifyDatabase(reader, options)) findings.push(found);
  return findings;
}

test('whatever devices did, and however the log was shortened, nothing is found', async () => {
  await fc.assert(
    fc.asyncProperty(history, delays, fc.boolean(), async (steps, late, allowResurrection) => {
      const engine = await openEngine({ tombstoneTTL: DAY_MS, allowResurrection });
      await runHistory(steps, late, engine);
      assert.deepEqual(await findingsOf(engine.store), []);
      assert.deepEqual(await findingsOf(engine.store, { roundEntriesMax: 3 }), []);
    }),
    { numRuns: runs(20) },
  );
});

/** Two rows, of which one was deleted and one lives again, DDL, and a log of several transactions. */
async function openSample() {
  const engine = await openEngine({ tombstoneTTL: DAY_MS });
  const one = new Device(1);
  const { manager } = engine;
  await manager.apply([one.migrate('create_table', 't')]);
  await manager.apply([one.migrate('rename_table', 'new', { fromTable: 'old' })]);
  const sender = new Sender(one.siteId, 'known');
  await manager.apply([one.write({ pk: [1], set: { a: 'first', b: 2 } })], { sender });
  await manager.apply([one.write({ pk: [2], set: { a: 'second' } }, { pk: [3], set: { a: 3 } })]);
  await manager.apply([one.write({ pk: [3], delete: true })]);
  await manager.logPins.pin('reader');
  assert.deepEqual(await findingsOf(engine.store), []);
  return engine;
}

test('a head that knows of no row as long as one that is there is found', async () => {
  const { manager, store } = await openEngine();
  const text = 'x'.repeat(20 * 1024);
  await manager.apply([new Device(1).write({ pk: [1], set: { text } })]);
  assert.deepEqual(await findingsOf(store), []);
  const key = Buffer.from('mhead');
  const [head] = await store.getMany([key]);
  const { longestRow, ...rest } = JSON.parse(Buffer.from(head ?? []).toString());
  assert.ok(longestRow > text.length);
  await store.exclusive(async ({ put }) => put(key, Buffer.from(JSON.stringify(rest))));
  assert.deepEqual(
    (await findingsOf(store)).map(({ code, where }) => [code, where]),
    [['META', 'm head']],
  );
});

test('what the storage layer notes for itself is no finding', async () => {
  const { store } = await openSample();
  await store.exclusive(async (transaction) =>
    transaction.put(Buffer.from('\0writer'), Buffer.from('1')),
  );
  assert.deepEqual(await findingsOf(store), []);
});

type Entry = { key: Buffer; text: string };
type Damage = (transaction: KVTransaction, all: (prefix: string) => Promise<Entry[]>) => unknown;

/** @param kind the first bytes of its key */
const change =
  (kind: string, edit: (text: string) => string, which = 0): Damage =>
  async (transaction, all) => {
    const entry = (await all(kind)).at(which);
    assert.ok(entry, `there is a record of kind ${kind}`);
    const edited = edit(entry.text);
    assert.notEqual(edited, entry.text, 'the damage changes it');
    transaction.put(entry.key, Buffer.from(edited));
  };
const remove =
  (kind: string, which = 0): Damage =>
  async (transaction, all) => {
    const entry = (await all(kind)).at(which);
    assert.ok(entry, `there is a record of kind ${kind}`);
    transaction.delete(entry.key);
  };
const put =
  (key: Uint8Array | string, text: string): Damage =>
  (transaction) =>
    transaction.put(Buffer.from(key), Buffer.from(text));
/** Moves a record to a key that differs in a byte, as a rule its last. */
const move =
  (kind: string, which = 0, byte = -1): Damage =>
  async (transaction, all) => {
    const entry = (await all(kind)).at(which);
    assert.ok(entry, `there is a record of kind ${kind}`);
    transaction.delete(entry.key);
    const key = Buffer.from(entry.key);
    const place = (byte + key.length) % key.length;
    key[place] = (key[place] ?? 0) ^ 1;
    transaction.put(key, Buffer.from(entry.text));
  };
const cut = (text: string) => text.slice(0, -3);
const json =
  (edit: (value: Record<string, unknown>) => Record<string, unknown>) => (text: string) =>
    JSON.stringify(edit(JSON.parse(text)));
/** Makes the HLCs of a row's first cell older: the counter is in characters 11 and 12. */
const older = (text: string) => text.replace(/\n[A-Za-z0-9+/]{40}(?=\t)/, `\n${'A'.repeat(40)}`);

/** Later than all that is stored, and of a time that a clock may show. */
const LATER = `AAAC${'z'.repeat(36)}`;
/** Of a time that no clock shows. */
const NEVER = '/'.repeat(40);

const DAMAGES: readonly [what: string, code: FindingCode, damage: Damage][] = [
  ['no format record', 'FORMAT', remove('\0format')],
  ['a format record that is no JSON', 'FORMAT', change('\0format', cut)],
  ['no head', 'META', remove('mhead')],
  ['a head that is cut off', 'META', change('mhead', cut)],
  ['no site id', 'META', remove('msite')],
  ['a site id that is none', 'META', change('msite', cut)],
  ['a log pin that cannot be read', 'LOG_PIN', change('preader', cut)],
  ['a log pin without a name', 'LOG_PIN', put('p', '{}')],
  [
    'a log pin after the end of the log',
    'LOG_PIN',
    change(
      'preader',
      json((pin) => ({ ...pin, position: NEVER })),
    ),
  ],
  ['a horizon that is no position', 'META', put('mhorizon', 'yesterday')],
  ['a horizon after the end of the log', 'META', put('mhorizon', NEVER)],
  [
    'a position that no clock can pass',
    'META',
    change(
      'mhead',
      json((head) => ({ ...head, position: `//////////${String(head.position).slice(10)}` })),
    ),
  ],
  [
    'a head before the newest position',
    'POSITION',
    change(
      'mhead',
      json((head) => ({ ...head, position: 'A'.repeat(40) })),
    ),
  ],
  [
    'a count of transactions that is off',
    'LOG_COUNT',
    change(
      'mhead',
      json((head) => ({ ...head, logLength: 3 })),
    ),
  ],
  [
    'a count of changes that is off',
    'LOG_COUNT',
    change(
      'mhead',
      json((head) => ({ ...head, changesLogged: 3 })),
    ),
  ],
  ['a table record that is cut off', 'CATALOG', change('t', cut)],
  ['a table record in another place', 'CATALOG', move('t')],
  [
    'two tables of one name',
    'CATALOG',
    async (transaction, all) => {
      const [table] = await all('t');
      assert.ok(table);
      const key = Buffer.from('t\0\0\0\x09');
      transaction.put(key, Buffer.from(JSON.stringify({ ...JSON.parse(table.text), id: 9 })));
    },
  ],
  ['a name that is cut off', 'CATALOG', change('n', cut)],
  ['a name that is gone', 'CATALOG', remove('n')],
  [
    'a name that leads to no table',
    'CATALOG',
    change(
      'n',
      json((name) => ({ ...name, id: 7 })),
    ),
  ],
  [
    'a table whose number was not given yet',
    'CATALOG',
    change(
      'mhead',
      json((head) => ({ ...head, nextTable: 1 })),
    ),
  ],
  [
    'a table that has ended in itself',
    'CATALOG',
    change(
      't',
      json(({ table: _table, ...rest }) => ({ ...rest, into: rest.id })),
    ),
  ],
  ['a migration that is cut off', 'CATALOG', change('g', cut)],
  ['DDL that is gone', 'MIGRATION', remove('g')],
  ['DDL that never was in the log', 'MIGRATION', remove('l')],
  ['a table that is gone', 'ROW', remove('t')],
  ['a count of cells that is off', 'STATISTICS', change('c', () => '7')],
  ['a count that is none', 'STATISTICS', change('c', () => 'x')],
  [
    'a row from before the drop of its table',
    'BELOW_FLOOR',
    change(
      't',
      json((table) => ({ ...table, floor: LATER, made: LATER })),
    ),
  ],
  ['DDL that is not noted', 'LOG_RECORD', remove('e')],
  ['DDL that is noted, and none', 'LOG_RECORD', put(`e${'\0'.repeat(30)}`, '')],
  [
    'a transaction of a table whose number was not given yet',
    'LOG_RECORD',
    change('l', (text) => text.replace(/\t[\d*]+\n/, '\t77*2\n'), 2),
  ],
  [
    'a transaction that names too few tables',
    'LOG_RECORD',
    change('l', (text) => text.replace(/\t[\d*]+\n/, '\t1\n'), 2),
  ],
  ['a site that is cut off', 'SITE', change('s', cut)],
  ['a key of a site that is too long', 'SITE', put('s far too long to be one', '{}')],
  ['a record of no known kind', 'KEY', put('zebra', '')],
  ['an unknown record beside the head', 'KEY', put('mtail', '')],
  ['a log key that is too short', 'POSITION', put('l short', '')],
  ['a position of another site', 'POSITION', move('l', 3, 20)],
  ['a transaction that is cut off', 'LOG_RECORD', change('l', cut, 2)],
  ['a transaction that is not of its position', 'LOG_RECORD', move('l', 3)],
  [
    'a transaction with another count',
    'LOG_RECORD',
    change('l', (text) => text.replace(/\t\d+\t/, '\t9\t'), 2),
  ],
  [
    'a transaction with another author',
    'LOG_RECORD',
    change('l', (text) => `*${text.slice(22)}`, 2),
  ],
  ['a transaction that is gone', 'NOT_LOGGED', remove('l', 2)],
  ['a deletion that is gone from the log', 'NOT_LOGGED', remove('l', -1)],
  ['a row that is gone', 'NOT_MERGED', remove('r')],
  ['a deletion that is gone', 'NOT_MERGED', remove('r', 2)],
  ['a cell that is older than it was', 'NOT_MERGED', change('r', older)],
  [
    'a cell with another value',
    'CELL_DIFFERS',
    change('r', (text) => text.replace('first', 'fIrst')),
  ],
  ['a row that is cut off within a text', 'ROW', change('r', (text) => text.slice(0, -1), 1)],
  ['a row in the place of another', 'ROW', move('r')],
  [
    'a cell of a time that no clock shows',
    'ROW',
    change('r', (text) => text.replace(/\n[A-Za-z0-9+/]{40}(?=\t)/, `\n${NEVER}`)),
  ],
  [
    'DDL of a time that no clock shows',
    'LOG_RECORD',
    change('l', (text) => text.replace(/("fromTable":[^}]*"hlc":")[^"]*/, `$1${NEVER}`), 1),
  ],
  ['a row of no table', 'ROW', put('r\0\0\0\x08"1"', `["1"]\n\n${'A'.repeat(40)}\t"a"\t1`)],
  [
    'a cell that its deletion should have removed',
    'ROW_ORDER',
    change('r', (text) => `${text}\n${'A'.repeat(40)}\t"a"\t1`, 2),
  ],
  ['a deletion that is not listed', 'TOMBSTONE_LIST', remove('d')],
  [
    'a deletion that is listed otherwise',
    'TOMBSTONE_LIST',
    change('d', (text) => `L${text.slice(1)}`),
  ],
  ['a deletion that is listed, and none', 'TOMBSTONE_LIST', move('d')],
];

test('each kind of damage is named', async (t) => {
  for (const [what, code, damage] of DAMAGES) {
    await t.test(what, async () => {
      const { store } = await openSample();
      await store.exclusive(async (transaction) => {
        await damage(transaction, async (prefix) => {
          const gte = Buffer.from(prefix);
          const entries: Entry[] = [];
          for await (const some of store.iterate({
            gte,
            lt: Buffer.concat([gte, Buffer.of(0xff)]),
          })) {
            for (const [key, value] of some) {
              entries.push({ key: Buffer.from(key), text: Buffer.from(value).toString() });
            }
          }
          return entries;
        });
      });
      const codes = new Set((await findingsOf(store)).map((found) => found.code));
      assert.ok(codes.has(code), `found ${[...codes].join(', ') || 'nothing'}`);
    });
  }
});

test('what is missing in the log is found in whichever round', async () => {
  const { store, manager } = await openEngine();
  const one = new Device(1);
  for (let i = 0; i < 40; i++) await manager.apply([one.write({ pk: [i], set: { a: i } })]);
  const keys: Uint8Array[] = [];
  for await (const some of store.iterate({ gte: Buffer.from('l'), lt: Buffer.from('m') })) {
    keys.push(...some.map(([key]) => key));
  }
  await store.exclusive(async (transaction) => {
    for (const key of keys.slice(0, 20)) transaction.delete(key);
  });
  const missing = await findingsOf(store, { roundEntriesMax: 5 });
  assert.equal(missing.filter(({ code }) => code === 'NOT_LOGGED').length, 20);
});

test('a deletion that was held expires without sending everybody to snapshots for good', async () => {
  const { manager, world } = await openEngine({ tombstoneTTL: DAY_MS });
  const one = new Device(1);
  await manager.apply([one.migrate('drop_table', 't')]);
  await manager.apply([one.write({ pk: [1], delete: true })]);
  world.nowMs += 2 * DAY_MS;
  await manager.maintain({ thorough: true });
  assert.equal((await manager.log.cursorFor(manager.position)).position, manager.position);
});
