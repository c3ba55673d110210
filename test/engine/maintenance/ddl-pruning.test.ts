/** Removing the DDL of dropped tables, beside writers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

const TTL_MS = 1000;
const DDL_KIND = 'g'.charCodeAt(0);

/** A store that tells how many statements of DDL each of its transactions has removed. */
async function openCountingStore() {
  const memory = await createMemoryStorage().open('test');
  const removed: number[] = [];
  const store: KVStore = {
    ...memory,
    exclusive: (work) =>
      memory.exclusive(async (transaction) => {
        let count = 0;
        const counting = (key: Uint8Array) => {
          if (key[0] === DDL_KIND) count++;
          transaction.delete(key);
        };
        const result = await work({ ...transaction, delete: counting });
        removed.push(count);
        return result;
      }),
  };
  return { store, removed };
}

async function tablesInDdl(store: KVStore): Promise<Set<string>> {
  const catalog = await Catalog.load(store);
  return new Set([...catalog.slots.values()].map(({ table }) => table));
}

test('what led to thousands of drops is removed in steps, and writers come between', async () => {
  const { store, removed } = await openCountingStore();
  const { manager, world } = await openEngine({ store, tombstoneTTL: TTL_MS });
  const device = new Device(1);
  for (let i = 0; i < 2000; i += 1000) {
    const tables = Array.from({ length: 1000 }, (_, k) => `t${i + k}`);
    const sets = tables.map((table) => device.migrate('drop_table', table));
    await manager.apply(sets);
  }
  removed.length = 0;
  world.nowMs += TTL_MS + 1;
  const maintained = manager.maintain({ thorough: true });
  const isDone = maintained.then(() => true);
  let written = 0;
  for (let done = false; !done; written++) {
    await manager.apply([device.write({ table: 'w', pk: [1], set: { a: written } })]);
    done = await Promise.race([isDone, world.yield().then(() => false)]);
  }
  const steps = removed.filter((count) => count > 0);
  assert.equal(
    steps.reduce((sum, count) => sum + count, 0),
    2000,
  );
  assert.ok(Math.max(...steps) <= 1000, `${steps}`);
  const [first, last] = [removed.indexOf(steps[0] ?? 0), removed.lastIndexOf(steps.at(-1) ?? 0)];
  const between = removed.slice(first, last).filter((count) => count === 0);
  assert.ok(between.length > 0, 'writers had to wait for all of it');
  assert.deepEqual([...(await tablesInDdl(store))], []);
});

test('a pass reads only so much, and the next one goes on where it has ended', async () => {
  const { manager, world, store } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1);
  const kept = Array.from({ length: 30 }, (_, i) => `kept${i}`);
  await manager.apply(kept.map((table) => device.migrate('create_table', table)));
  // More text than is searched for one drop, so that all of these tables count as indexed.
  await manager.apply([device.migrate('add_index', 'i', { ddl: '.'.repeat(5_000_000) })]);
  for (const table of [...kept, 'free']) {
    await manager.apply([device.migrate('drop_table', table, { schemaVersion: 2 })]);
  }
  world.nowMs += TTL_MS + 1;
  const passes: boolean[] = [];
  for (let pass = 0; pass < 2; pass++) {
    for (let i = 0; i < 400; i++) {
      await manager.apply([device.write({ table: 'w', pk: [1], set: { a: i } })]);
    }
    await manager.maintain();
    passes.push((await tablesInDdl(store)).has('free'));
  }
  assert.deepEqual(passes, [true, false]);
  assert.equal((await tablesInDdl(store)).size, kept.length + 1);
});

test('a year of a table that is rebuilt every day is taken in one batch, and forgotten after its time', async () => {
  const { manager, world, store } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1);
  const made = device.migrate('create_table', 't');
  const rebuilt = (day: number) => [
    device.migrate('create_table', 'next', { schemaVersion: 2 * day }),
    device.migrate('rename_table', `old_${day}`, { fromTable: 't' }),
    device.migrate('rename_table', 't', { fromTable: 'next', schemaVersion: 2 * day + 1 }),
    device.migrate('add_index', 'i', { ddl: `CREATE INDEX i ON t (a${day})` }),
    device.migrate('drop_table', `old_${day}`, { schemaVersion: 2 }),
  ];
  const days = Array.from({ length: 365 }, (_, day) => rebuilt(day + 1));
  const sets = [made, ...days.flat()];
  const { applied } = await manager.apply(sets);
  assert.equal(applied, sets.length);
  world.nowMs += TTL_MS + 1;
  await manager.maintain({ thorough: true });
  const named = await tablesInDdl(store);
  assert.deepEqual(
    [...named].filter((table) => table.startsWith('old_')),
    [],
  );
});
