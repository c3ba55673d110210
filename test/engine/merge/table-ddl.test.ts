/** DDL costs little, whatever a name has been through, and what it may have been through is bounded. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HLC_MIN } from '../../../src/clock/hlc.ts';
import { mergeMigration } from '../../../src/engine/merge/table-ddl.ts';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import { CatalogDraft } from '../../../src/engine/tables/catalog-draft.ts';
import type { WireChangeSet, WireMigration } from '../../../src/protocol/schemas.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';
import { createTestWorld } from '../../support/world.ts';

function migrationOf({ schemaMigrations: [migration] }: WireChangeSet): WireMigration {
  assert.ok(migration);
  return migration;
}

async function emptyDraft(): Promise<CatalogDraft> {
  const store = await createMemoryStorage().open('test');
  return new CatalogDraft(await Catalog.load(store), 1);
}

/** Merges the migration of a set, at its own HLC as the position. */
function mergerInto(draft: CatalogDraft) {
  return (set: WireChangeSet) => {
    const migration = migrationOf(set);
    return mergeMigration(draft, migration, migration.hlc);
  };
}

/** Makes and drops tables again and again. */
function cycles(device: Device, count: number, tables: readonly string[] = ['t']): WireChangeSet[] {
  return Array.from({ length: count }, () =>
    tables.flatMap((table) => [
      device.migrate('create_table', table),
      device.migrate('drop_table', table),
    ]),
  ).flat();
}

function inOne(sets: readonly WireChangeSet[]): WireChangeSet {
  const [last] = sets.slice(-1);
  assert.ok(last);
  return { ...last, schemaMigrations: sets.flatMap(({ schemaMigrations }) => schemaMigrations) };
}

/** An engine that counts the migrations and the readings of rows between two turns of others. */
async function openCounting() {
  const memory = await createMemoryStorage().open('test');
  const longest = { reads: 0, turns: 0 };
  let reads = 0;
  const store: KVStore = {
    ...memory,
    exclusive: (work) =>
      memory.exclusive((transaction) =>
        work({
          ...transaction,
          iterate: (range) => {
            longest.reads = Math.max(longest.reads, ++reads);
            return transaction.iterate(range);
          },
        }),
      ),
  };
  const world = createTestWorld();
  const { yield: turn } = world;
  world.yield = async () => {
    reads = 0;
    longest.turns++;
    await turn();
  };
  return { ...(await openEngine({ store, world })), longest };
}

test('others have their turn while the tables that one set has made and dropped are emptied', async () => {
  const { manager, longest } = await openCounting();
  const device = new Device(1);
  const sets = [...cycles(device, 500), device.migrate('create_table', 't')];
  assert.equal((await manager.apply([inOne(sets)])).applied, sets.length);
  assert.ok(longest.reads > 0 && longest.reads <= 100, `${longest.reads} tables in one turn`);
});

test('others have their turn while many short sets make and drop tables', async () => {
  const { manager, longest } = await openCounting();
  await manager.apply(cycles(new Device(1), 500));
  assert.ok(longest.turns >= 50, `${longest.turns} turns`);
});

test('what a batch makes, it empties, however much there is to empty in the store', async () => {
  const { manager, store } = await openEngine({ stepRows: 4 });
  const device = new Device(1);
  const rows = Array.from({ length: 50 }, (_, i) => ({ pk: [i], set: { a: 1 } }));
  await manager.apply([device.write(...rows)]);
  const ended: number[] = [];
  manager.onAppended(({ catalog }) => ended.push(catalog.size.ended));
  await manager.apply(cycles(device, 100));
  assert.ok((ended[0] ?? 0) <= 1, `${ended[0]} tables wait`);
  await manager.apply([device.migrate('create_table', 't')]);
  await manager.maintain();
  assert.equal((await Catalog.load(store)).size.ended, 0);
});

test('the tables of a name that have ended all lead to the one that there is', async () => {
  const draft = await emptyDraft();
  const device = new Device(1);
  const ddl = [...cycles(device, 50), device.migrate('create_table', 't')].map(migrationOf);
  for (const migration of ddl) mergeMigration(draft, migration, migration.hlc);
  const last = draft.name('main', 't')?.id ?? 0;
  const ended = [...draft.endedInto(last)];
  assert.equal(ended.length, 50);
  for (const { into } of ended) assert.equal(into, last);
  const newest = ddl.at(-2)?.hlc;
  assert.ok(newest);
  for (const { floor } of ended) assert.equal(floor, newest);
});

test('tables that are made again faster than their rows can be moved are refused, and stored in part nowhere', async () => {
  const { manager } = await openEngine({
    catalogLimits: { tablesPerDatabase: 10_000, ddlBytesPerDatabase: 1e7 },
  });
  const device = new Device(1);
  const tables = Array.from({ length: 21 }, (_, i) => `t${i}`);
  await assert.rejects(manager.apply([inOne(cycles(device, 100, tables))]), {
    code: 'TOO_LARGE',
    message: 'more than 2000 tables were made again before their rows could be moved',
  });
  assert.equal(manager.logLength, 0);
  // In sets of their own each is emptied at once.
  assert.equal((await manager.apply(cycles(device, 100, tables))).applied, 4200);
});

test('a table that was made and dropped, and in which nothing is, waits for none that comes after it', async () => {
  const { manager, store } = await openEngine();
  const device = new Device(1);
  const ended: number[] = [];
  manager.onAppended(({ catalog }) => ended.push(catalog.size.ended));
  const sets = Array.from({ length: 30 }, () => inOne(cycles(device, 1)));
  assert.equal((await manager.apply(sets)).applied, 60);
  for (let i = 0; i < 30; i++) {
    const made = device.migrate('create_table', 't');
    const { changes } = device.write({ table: 't', pk: [1], set: { a: i } });
    await manager.apply([{ ...made, changes }, device.migrate('drop_table', 't')]);
    await manager.apply([inOne(cycles(device, 1))]);
  }
  assert.deepEqual(new Set(ended.slice(-30)), new Set([0]));
  assert.equal((await Catalog.load(store)).size.ended, 0);
});

test('a table has only so many names, and its drop is merged all the same', async () => {
  const draft = await emptyDraft();
  const device = new Device(1);
  const merge = mergerInto(draft);
  merge(device.migrate('create_table', 't0'));
  const { id } = draft.name('main', 't0') ?? assert.fail();
  for (let i = 1; i < 1000; i++) draft.setName({ schema: 'main', table: `t${i}`, id });
  const message = 'more than 1000 names of one table';
  const rename = device.migrate('rename_table', 't1000', { fromTable: 't0' });
  assert.throws(() => merge(rename), { code: 'TOO_LARGE', message });
  assert.equal(merge(device.migrate('drop_table', 't0')).outcome, 'applied');
  const ofDropped = device.migrate('rename_table', 't1001', { fromTable: 't0' });
  assert.throws(() => merge(ofDropped), { code: 'TOO_LARGE', message });
});

test('what the migrations of one batch may be to read is bounded, and in parts they are merged', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  await manager.apply([device.migrate('create_table', 't0')]);
  const chain = Array.from({ length: 900 }, (_, i) =>
    device.migrate('rename_table', `t${i + 1}`, { fromTable: `t${i}` }),
  );
  for (let i = 0; i < 900; i += 300) await manager.apply(chain.slice(i, i + 300));
  const drops = Array.from({ length: 1200 }, () => device.migrate('drop_table', 't900'));
  await assert.rejects(manager.apply(drops), {
    code: 'TOO_LARGE',
    message:
      'more than 2000000 names and statements to be read for the migrations of one batch: send them in parts',
  });
  for (let i = 0; i < 1200; i += 600) {
    assert.equal((await manager.apply(drops.slice(i, i + 600))).applied, 600);
  }
});

test('one batch may have only so many migrations, so that no commit of a catalog takes long', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const drops = (count: number) =>
    inOne(Array.from({ length: count }, (_, i) => device.migrate('drop_table', `t${i}`)));
  await assert.rejects(manager.apply([drops(10_001)]), {
    code: 'TOO_LARGE',
    message: 'more than 10000 migrations in one batch: send them in parts',
  });
});

test('a name leads to only so many tables', async () => {
  const draft = await emptyDraft();
  const device = new Device(1);
  const past = Array.from({ length: 9999 }, (_, i) => [device.hlc(i), i + 1] as const);
  const changed = device.hlc(0);
  const { id } = draft.create({ schema: 'main', table: 't', made: HLC_MIN, changed });
  draft.setName({ schema: 'main', table: 't', id, past });
  const merge = mergerInto(draft);
  const rename = () => device.migrate('rename_table', `u${device.wallTime}`, { fromTable: 't' });
  assert.equal(merge(rename()).outcome, 'applied');
  assert.equal(merge(device.migrate('create_table', 't')).outcome, 'applied');
  assert.throws(() => merge(rename()), {
    code: 'TOO_LARGE',
    message: 'more than 10000 tables of one name',
  });
});

test('renames connect only so many statements, and a drop is merged all the same', async () => {
  const draft = await emptyDraft();
  const device = new Device(1);
  const merge = mergerInto(draft);
  const rename = (fromTable: string, table: string) =>
    device.migrate('rename_table', table, { fromTable });
  merge(device.migrate('create_table', 'a'));
  for (let i = 0; i < 3998; i++) {
    const renamed = migrationOf(rename('a', `b${i}`));
    draft.setSlot({ ...renamed, at: renamed.hlc, aside: true });
  }
  assert.ok(merge(rename('a', 'c')).read >= 3999);
  assert.throws(() => merge(rename('c', 'd')), {
    code: 'TOO_LARGE',
    message: 'more than 4000 statements make, drop and rename tables that renames connect',
  });
  assert.equal(merge(device.migrate('drop_table', 'c')).outcome, 'applied');
});
