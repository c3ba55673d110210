import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device, type RowWrite } from '../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';
import { runs } from '../support/runs.ts';

const pk = fc.constantFrom<unknown[]>([1], [2], [{ __bigint: '1' }], ['1'], [1, 'a'], [null]);
const write: fc.Arbitrary<RowWrite> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      pk,
      set: fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.integer(), { minKeys: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ pk, delete: fc.constant(true as const) }) },
);

/** Transactions of three devices whose clocks overlap. */
const history = fc
  .array(
    fc.record({
      device: fc.integer({ min: 0, max: 2 }),
      writes: fc.array(write, { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((steps) => {
    const devices = [1, 2, 3].map((number) => new Device(number));
    return steps.map(({ device, writes }) => {
      const author = devices[device];
      if (author === undefined) throw new Error('no such device');
      return author.write(...writes);
    });
  });

/** The same transactions in another order, some of them more than once. */
const arrival = history.chain((changeSets) =>
  fc.record({
    changeSets: fc.constant(changeSets),
    order: fc
      .tuple(
        fc.shuffledSubarray(changeSets, { minLength: changeSets.length }),
        fc.array(fc.constantFrom(...changeSets), { maxLength: 5 }),
      )
      .map(([all, again]) => [...all, ...again]),
    batchSize: fc.integer({ min: 1, max: 5 }),
    together: fc.boolean(),
    bytesMax: fc.integer({ min: 1, max: 2000 }),
  }),
);

function inBatches(changeSets: WireChangeSet[], size: number): WireChangeSet[][] {
  const batches: WireChangeSet[][] = [];
  for (let i = 0; i < changeSets.length; i += size) batches.push(changeSets.slice(i, i + size));
  return batches;
}

test('state and delivery do not depend on order, batching, repetition or interleaving', async () => {
  await fc.assert(
    fc.asyncProperty(arrival, async ({ changeSets, order, batchSize, together, bytesMax }) => {
      const expected = new Replica();
      expected.apply(changeSets);
      const { manager } = await openEngine();
      const batches = inBatches(order, batchSize);
      if (together) await Promise.all(batches.map((batch) => manager.apply(batch)));
      else for (const batch of batches) await manager.apply(batch);

      const bootstrapped = new Replica();
      bootstrapped.load(await takeSnapshot(manager));
      assert.deepEqual(bootstrapped.contents(), expected.contents(), 'the snapshot');
      assert.deepEqual(bootstrapped.tombstones(), expected.tombstones(), 'the tombstones');

      const delivered = await readAll(manager, undefined, { bytesMax });
      const caughtUp = new Replica();
      caughtUp.apply(delivered);
      assert.deepEqual(caughtUp.contents(), expected.contents(), 'the delta');

      const positions = delivered.map(({ hlc }) => Buffer.from(hlc, 'base64').toString('latin1'));
      assert.deepEqual(positions, [...new Set(positions)].sort(), 'positions rise strictly');
    }),
    { numRuns: runs(15) },
  );
});

test('a reader who was at any position gets exactly what it lacks', async () => {
  await fc.assert(
    fc.asyncProperty(arrival, fc.nat(), async ({ order, changeSets }, cut) => {
      const { manager } = await openEngine();
      const half = cut % (order.length + 1);
      await manager.apply(order.slice(0, half));
      const before = await readAll(manager);
      await manager.apply(order.slice(half));
      const replica = new Replica();
      replica.apply(before);
      replica.apply(await readAll(manager, before.at(-1)?.hlc));
      const expected = new Replica();
      expected.apply(changeSets);
      assert.deepEqual(replica.contents(), expected.contents());
    }),
    { numRuns: runs(10) },
  );
});

test('a reader gets nothing of its own, and everything of the others', async () => {
  await fc.assert(
    fc.asyncProperty(arrival, async ({ order, changeSets }) => {
      const { manager } = await openEngine();
      for (const batch of inBatches(order, 2)) await manager.apply(batch);
      const me = new Device(1);
      const delivered = await readAll(manager, undefined, { reader: me.siteId });
      assert.ok(delivered.every(({ siteId }) => siteId !== me.siteId));
      const replica = new Replica();
      replica.apply(changeSets.filter(({ siteId }) => siteId === me.siteId));
      replica.apply(delivered);
      const expected = new Replica();
      expected.apply(changeSets);
      assert.deepEqual(replica.contents(), expected.contents());
    }),
    { numRuns: runs(10) },
  );
});
