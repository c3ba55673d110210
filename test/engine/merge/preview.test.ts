import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { pkIdentity } from '../../../src/protocol/values.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

type Step = 'create' | 'drop' | 'write' | 'delete';

/** What two devices did, in any order of arrival. */
const arrivals = fc
  .array(
    fc.record({
      device: fc.integer({ min: 0, max: 1 }),
      step: fc.constantFrom<Step>('create', 'drop', 'write', 'write', 'write', 'delete'),
      table: fc.constantFrom('t', 'u'),
      key: fc.integer({ min: 1, max: 3 }),
      columns: fc.subarray(['a', 'b'], { minLength: 1 }),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((steps) => {
    const devices = [1, 2].map((number) => new Device(number));
    return steps.map(({ device, step, table, key, columns }, i): WireChangeSet => {
      const author = devices[device];
      if (author === undefined) throw new Error('no such device');
      const schemaVersion = i + 1;
      if (step === 'create') return author.migrate('create_table', table, { schemaVersion });
      if (step === 'drop') return author.migrate('drop_table', table, { schemaVersion });
      if (step === 'delete') return author.write({ table, pk: [key], delete: true });
      const set = Object.fromEntries(columns.map((column) => [column, i]));
      return author.write({ table, pk: [key], set });
    });
  })
  .chain((sets) => fc.shuffledSubarray(sets, { minLength: sets.length }));

type Read = (table: { schema: string; table: string }) => AsyncIterable<{
  pk: unknown[];
  valuesByColumn: Map<string, unknown>;
}>;

async function contents(rows: Read): Promise<unknown> {
  const found: [string, string, unknown][] = [];
  for (const table of ['t', 'u']) {
    for await (const { pk, valuesByColumn } of rows({ schema: 'main', table })) {
      found.push([table, pkIdentity(pk), [...valuesByColumn].sort()]);
    }
  }
  return found.sort();
}

for (const allowResurrection of [true, false]) {
  test(`a preview shows what the merge makes of it, whatever is stored before (resurrection: ${allowResurrection})`, async () => {
    await fc.assert(
      fc.asyncProperty(arrivals, fc.nat(14), async (sets, stored) => {
        const { manager } = await openEngine({ allowResurrection });
        await manager.apply(sets.slice(0, stored));
        const preview = manager.tables.preview();
        for (const set of sets.slice(stored)) preview.add([set]);
        const expected = await contents((table) => preview.rows(table));
        const single = new Map<string, unknown>();
        for (const table of ['t', 'u']) {
          for (const key of [1, 2, 3]) {
            const row = await preview.row({ schema: 'main', table, pk: [key] });
            single.set(`${table} ${key}`, row && [...row.valuesByColumn].sort());
          }
        }
        await manager.apply(sets.slice(stored));
        assert.deepEqual(await contents((table) => manager.tables.rows(table)), expected);
        for (const [name, values] of single) {
          const [table = '', key] = name.split(' ');
          const row = await manager.tables.row({ schema: 'main', table, pk: [Number(key)] });
          assert.deepEqual(row && [...row.valuesByColumn].sort(), values);
        }
        // What has been stored meanwhile changes nothing. (Without resurrection a write that a deletion
        // had blocked may take effect when it comes again after a drop, as it may in the merge.)
        if (!allowResurrection) return;
        const again = preview.isCurrent ? preview : manager.tables.preview();
        again.add(sets.slice(stored));
        assert.deepEqual(await contents((table) => again.rows(table)), expected);
      }),
    );
  });
}

test('a batch that was judged by what is not the newest any more is not stored, and holds up nobody', async () => {
  const { manager } = await openEngine();
  const [ann, ben] = [new Device(1), new Device(2)];
  const expected = await manager.newestPosition();
  const other = manager.apply([ben.write({ pk: [1], set: { a: 1 } })]);
  const stale = manager.apply([ann.write({ pk: [2], set: { a: 2 } })], { expected });
  await assert.rejects(stale, { name: 'StaleReadError' });
  assert.equal((await other).applied, 1);
  const again = await manager.newestPosition();
  const set = ann.write({ pk: [2], set: { a: 2 } });
  assert.equal((await manager.apply([set], { expected: again })).applied, 1);
});
