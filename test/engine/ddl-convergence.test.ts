import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';
import { runs } from '../support/runs.ts';

type Step = 'create' | 'drop' | 'write' | 'delete';

const steps = fc.array(
  fc.record({
    device: fc.integer({ min: 0, max: 2 }),
    step: fc.constantFrom<Step>('create', 'drop', 'write', 'write', 'write', 'delete'),
    table: fc.constantFrom('t', 'u'),
    key: fc.integer({ min: 1, max: 3 }),
    columns: fc.subarray(['a', 'b'], { minLength: 1 }),
  }),
  { minLength: 1, maxLength: 14 },
);

/** What three devices did, none of them having heard of the others. */
const history = steps.map((all) => {
  const devices = [1, 2, 3].map((number) => new Device(number));
  let schemaVersion = 0;
  return all.map(({ device, step, table, key, columns }, i): WireChangeSet => {
    const author = devices[device];
    if (author === undefined) throw new Error('no such device');
    // A version of its own for each: what is to be seen is not who wins a slot.
    schemaVersion++;
    if (step === 'create') return author.migrate('create_table', table, { schemaVersion });
    if (step === 'drop') return author.migrate('drop_table', table, { schemaVersion });
    if (step === 'delete') return author.write({ table, pk: [key], delete: true });
    const set = Object.fromEntries(columns.map((column) => [column, i]));
    return author.write({ table, pk: [key], set });
  });
});

const twoOrders = history.chain((changeSets) => {
  const order = fc.shuffledSubarray(changeSets, { minLength: changeSets.length });
  return fc.record({ first: order, second: order, batchSize: fc.integer({ min: 1, max: 4 }) });
});

async function stateAfter(order: WireChangeSet[], batchSize: number) {
  const { manager } = await openEngine();
  const delivered: WireChangeSet[] = [];
  let cursor: string | undefined;
  for (let i = 0; i < order.length; i += batchSize) {
    await manager.apply(order.slice(i, i + batchSize));
    delivered.push(...(await readAll(manager, cursor)));
    cursor = manager.position;
  }
  const bootstrapped = new Replica();
  const chunks = await takeSnapshot(manager);
  bootstrapped.load(chunks);
  const fromStart = new Replica();
  fromStart.apply(await readAll(manager));
  const tombstones = bootstrapped.tombstones();
  return { contents: bootstrapped.contents(), tombstones, chunks, fromStart, delivered };
}

test('what is held and sent does not depend on when DDL arrives among the data', async () => {
  await fc.assert(
    fc.asyncProperty(twoOrders, async ({ first, second, batchSize }) => {
      const one = await stateAfter(first, batchSize);
      const other = await stateAfter(second, 1);
      assert.deepEqual(one.contents, other.contents);
      assert.deepEqual(one.tombstones, other.tombstones);
      assert.deepEqual(one.fromStart.contents(), one.contents, 'the delta equals the snapshot');
    }),
    { numRuns: runs(20) },
  );
});

test('no snapshot and no delta holds cells of a table that its DDL has dropped', async () => {
  await fc.assert(
    fc.asyncProperty(twoOrders, async ({ first, batchSize }) => {
      const { chunks } = await stateAfter(first, batchSize);
      const existing = new Set<unknown>();
      const known = new Set<unknown>();
      for (const { type, migration, table } of chunks) {
        if (type === 'schema-migration') {
          const ddl = migration as { type: string; table: string };
          known.add(ddl.table);
          if (ddl.type === 'create_table') existing.add(ddl.table);
          if (ddl.type === 'drop_table') existing.delete(ddl.table);
        }
        if (type !== 'column-versions' && type !== 'tombstone') continue;
        assert.ok(existing.has(table) || !known.has(table), `cells of ${table}, which is gone`);
      }
    }),
    { numRuns: runs(10) },
  );
});

test('a device that follows live ends up with what a snapshot gives, apart from dropped tables', async () => {
  await fc.assert(
    fc.asyncProperty(twoOrders, async ({ first, batchSize }) => {
      const { contents, delivered } = await stateAfter(first, batchSize);
      const live = new Replica();
      for (const changeSet of delivered) {
        for (const { type, table, hlc } of changeSet.schemaMigrations) {
          if (type === 'drop_table') live.dropTable(table, hlc);
        }
        live.apply([changeSet]);
      }
      for (const [row, cells] of Object.entries(contents)) {
        assert.deepEqual(live.contents()[row], cells, row);
      }
    }),
    { numRuns: runs(20) },
  );
});
