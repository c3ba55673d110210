/** Change sets that are longer than a page: however many read one at once, all of it is within the budget. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HLC_MIN } from '../../../src/clock/hlc.ts';
import { logKey } from '../../../src/engine/records/keys.ts';
import { ByteBudget, type Reservation } from '../../../src/service/budgets/byte-budget.ts';
import { bytesFor, PageReads, type PageUse } from '../../../src/service/budgets/page-reads.ts';
import { type ReadFilter, readPage } from '../../../src/service/delivery/read-filter.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

const PAGE_BYTES = 1000;
const LONG_BYTES = 50_000;
const READERS = 20;

/** A log of one long change set, and a budget for two of its readers at once. */
async function openLong(use: PageUse) {
  const inner = await createMemoryStorage().open('test');
  const reads = { running: 0, most: 0, count: 0, isCounted: false };
  const store: KVStore = Object.assign(Object.create(inner), {
    exclusive: inner.exclusive.bind(inner),
    getMany: inner.getMany.bind(inner),
    view: inner.view.bind(inner),
    async *iterate(range: Parameters<KVStore['iterate']>[0]) {
      for await (const entries of inner.iterate(range)) {
        const isLong = entries.some(([, value]) => value.length > LONG_BYTES);
        if (isLong && reads.isCounted) reads.count++;
        yield entries;
      }
    },
  });
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { text: 'x'.repeat(LONG_BYTES) } })]);
  reads.isCounted = true;
  const bound = { limit: 'limits.answerBytes' as const, bytes: bytesFor(2.5 * LONG_BYTES, use) };
  const budget = new ByteBudget({ total: bound, perClient: bound, onLimit: () => undefined });
  return { manager, budget, bound, reads, pageReads: new PageReads() };
}

const settled = () => new Promise(setImmediate);

for (const [use, view] of [
  ['copied', undefined],
  ['parsed', async (sets) => sets],
] satisfies [PageUse, ReadFilter | undefined][]) {
  test(`a long change set that is ${use}: who finds no room for it waits, and holds nothing of it`, async () => {
    const { manager, budget, bound, reads, pageReads } = await openLong(use);
    let most = 0;
    let taken = 0;
    const after = await manager.log.cursorFor(undefined);
    const held: Reservation[] = [];
    const reading = Array.from({ length: READERS }, async () => {
      const room = await budget.reserve('one', bytesFor(PAGE_BYTES, use));
      const take = (json: Uint8Array) => {
        taken++;
        most = Math.max(most, budget.held);
        assert.ok(json.length <= room.bytes / 2, 'what is taken has its room already');
      };
      const options = { after, bytesMax: PAGE_BYTES };
      await readPage(manager, options, view, take, { reads: pageReads, room });
      most = Math.max(most, budget.held);
      held.push(room);
    });
    while (taken < 2) await settled();
    for (let i = 0; i < 50; i++) await settled();
    assert.equal(taken, 2, 'nobody has given anything back');
    assert.ok(most <= bound.bytes, `${most} bytes of ${bound.bytes} are held`);
    while (held.length < READERS || held.some(({ bytes }) => bytes > 0)) {
      for (const room of held) room.give();
      await settled();
      most = Math.max(most, budget.held);
    }
    await Promise.all(reading);
    assert.equal(taken, READERS);
    assert.ok(most <= bound.bytes, `${most} bytes of ${bound.bytes} are held`);
    assert.equal(budget.held, 0);
    // Two that found out, and each once when there was room for it.
    assert.ok(reads.count <= READERS + 2, `it was read ${reads.count} times`);
  });
}

test('DDL that stands behind a page is read one record at a time, by few at once', async () => {
  const inner = await createMemoryStorage().open('test');
  const [kind] = logKey(HLC_MIN);
  let running = 0;
  let most = 0;
  let keysMost = 0;
  const store: KVStore = Object.assign(Object.create(inner), {
    exclusive: inner.exclusive.bind(inner),
    iterate: inner.iterate.bind(inner),
    view: inner.view.bind(inner),
    async getMany(keys: readonly Uint8Array[]) {
      const isOfLog = keys.some((key) => key[0] === kind);
      if (!isOfLog) return inner.getMany(keys);
      most = Math.max(most, ++running);
      keysMost = Math.max(keysMost, keys.length);
      await settled();
      running--;
      return inner.getMany(keys);
    },
  });
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  await manager.apply([device.migrate('create_table', 'a', { schemaVersion: 1 })]);
  for (const pk of [1, 2])
    await manager.apply([device.write({ table: 'a', pk: [pk], set: { a: 1 } })]);
  const ddl = [
    device.migrate('rename_table', 'b', { fromTable: 'a', schemaVersion: 2 }),
    ...['c', 'd', 'e'].map((table, i) =>
      device.migrate('create_table', table, { schemaVersion: i + 3 }),
    ),
  ];
  for (const set of ddl) await manager.apply([set]);
  const reads = new PageReads();
  const bound = { limit: 'limits.answerBytes' as const, bytes: 64 * 1024 * 1024 };
  const budget = new ByteBudget({ total: bound, perClient: bound, onLimit: () => undefined });
  const options = {
    after: await manager.log.cursorFor(undefined),
    bytesMax: PAGE_BYTES,
    changesMax: 2,
  };
  const pages = Array.from({ length: READERS }, async () => {
    const jsons: Buffer[] = [];
    const room = await budget.reserve('one', bytesFor(PAGE_BYTES, 'parsed') * 4);
    const take = (json: Uint8Array) => jsons.push(Buffer.from(json));
    const page = await reads.read(manager, { ...options, use: 'copied' }, { reads, room }, take);
    assert.ok(page.hasMore);
    return jsons.map((json) => JSON.parse(json.toString()));
  });
  for (const sets of await Promise.all(pages)) {
    assert.equal(sets.at(-1).schemaMigrations.length, ddl.length);
  }
  assert.deepEqual({ most, keysMost }, { most: 2, keysMost: 1 });
});
