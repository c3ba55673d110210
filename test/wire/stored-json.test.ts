import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { runAtOnce, runByTurns } from '../../src/wire/steps.ts';
import { parseStored, stringifyInSteps } from '../../src/wire/stored-json.ts';
import { turnsDuring } from '../support/turns.ts';

const device = new Device(1);
const VALUES = [
  ...['é€"\\\n', 2 ** 60, 1.5, null, 'x'.repeat(300_000), { __bigint: '7' }],
  { b: [1, { z: null, 'a,b}': '€' }], ['__proto__']: 1, c: 'y'.repeat(300_000) },
  [[], {}, 'z'.repeat(300_000), 1],
];

const SETS: [what: string, set: WireChangeSet][] = [
  ['an empty one', device.write()],
  ['any values', device.write(...VALUES.map((x, i) => ({ pk: [i, x], set: { x, y: i } })))],
  [
    'deletions and DDL',
    {
      ...device.write({ pk: [1], delete: true }),
      schemaMigrations: device.migrate('create_table', 't', { ddl: 'x'.repeat(600_000) })
        .schemaMigrations,
    },
  ],
  ['many', device.write(...Array.from({ length: 5000 }, (_, i) => ({ pk: [i], set: { a: i } })))],
];

for (const [what, set] of SETS) {
  test(`a change set is read and written in steps as it is at once: ${what}`, () => {
    const json = Buffer.from(JSON.stringify(set));
    assert.deepEqual(runAtOnce(parseStored(json)), JSON.parse(json.toString()));
    assert.equal(Buffer.from(runAtOnce(stringifyInSteps(set))).toString(), json.toString());
  });
}

test('others have their turn while a long one is read and written', async () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => ({ pk: [i], set: { a: 'x'.repeat(100) } }));
  const set = device.write(...rows);
  const json = Buffer.from(JSON.stringify(set));
  const parsed = await turnsDuring(async () => runByTurns(parseStored(json)));
  const written = await turnsDuring(async () => runByTurns(stringifyInSteps(set)));
  assert.ok(parsed.turns > 10 && written.turns > 10, `${parsed.turns}, ${written.turns}`);
});
