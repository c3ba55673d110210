/**
 * Tables that an app rebuilds again and again, as is done with SQLite to alter one: their names are
 * always in use, and yet only the DDL within the horizon is kept.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SyncManager } from '../../../src/engine/sync-manager.ts';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import type { WireChangeSet, WireMigration } from '../../../src/protocol/schemas.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { openEngine, readAll, takeSnapshot } from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';

const TTL_MS = 1000;
const CYCLE_MS = 100;
const CYCLES = 100;
/** Those of which a device may still ask for a delta, and as many before the next are forgotten. */
const CYCLES_KEPT = (2 * TTL_MS) / CYCLE_MS + 2;
const START_MS = 1_700_000_000_000;

type Step = [type: WireMigration['type'], table: string, more?: Partial<WireMigration>];

/** What one cycle says. With versions of its own no migration takes the slot of another. */
const patterns: Record<string, (cycle: number) => Step[]> = {
  'a new table takes the name of the dropped one': () => [
    ['create_table', 'new'],
    ['drop_table', 't'],
    ['rename_table', 't', { fromTable: 'new' }],
  ],
  'the old table is put aside, and dropped under another name': () => [
    ['create_table', 'new'],
    ['rename_table', 'old', { fromTable: 't' }],
    ['rename_table', 't', { fromTable: 'new' }],
    ['drop_table', 'old'],
  ],
  'the old table gets a name for good, and is dropped under it': (cycle) => [
    ['create_table', 'new'],
    ['rename_table', `old${cycle}`, { fromTable: 't' }],
    ['rename_table', 't', { fromTable: 'new' }],
    ['drop_table', `old${cycle}`],
  ],
  'a table is dropped, and made again with a column more': () => [
    ['drop_table', 't'],
    ['create_table', 't'],
    ['add_column', 't', { schemaVersion: 1_000_000 }],
  ],
  'two tables change places by way of a third, and one is made anew': (cycle) => [
    ['rename_table', 'spare', { fromTable: 't' }],
    ['create_table', 't'],
    ['rename_table', `${cycle % 2 === 0 ? 'even' : 'odd'}`, { fromTable: 'spare' }],
    ['drop_table', `${cycle % 2 === 0 ? 'even' : 'odd'}`],
  ],
};

async function rebuild(stepsOf: (cycle: number) => Step[], isVersioned: boolean): Promise<void> {
  const device = new Device(1, START_MS);
  const opened = await openEngine({ tombstoneTTL: TTL_MS });
  const { store, world } = opened;
  let { manager } = opened;
  const said: WireChangeSet[] = [];
  const say = async (steps: Step[], cycle: number) => {
    for (const [type, table, more] of steps) {
      const version = isVersioned ? { schemaVersion: cycle + 1 } : {};
      said.push(device.migrate(type, table, { ...version, ...more }));
    }
    said.push(device.write({ pk: [cycle % 10], set: { a: cycle } }));
    const sets = said.slice(-steps.length - 1);
    assert.equal((await manager.apply(sets)).applied, sets.length, `cycle ${cycle}`);
  };
  await say([['create_table', 't']], 0);
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    const steps = stepsOf(cycle);
    await say(steps, cycle);
    world.nowMs += CYCLE_MS;
    if (cycle === CYCLES / 2) ({ manager } = await openEngine({ ...opened, tombstoneTTL: TTL_MS }));
    await manager.maintain();
    const { slots } = await Catalog.load(store);
    const most = steps.length * CYCLES_KEPT + 10;
    assert.ok(slots.size <= most, `${slots.size} statements after ${cycle} cycles`);
    if (cycle % 50 === 0) await assertSound(manager, store);
  }
  const newest = await contentsOf(manager);
  world.nowMs += 2 * TTL_MS;
  await manager.maintain();
  const left = [...(await Catalog.load(store)).slots.values()];
  assert.ok(!left.some(({ type }) => type === 'drop_table'), JSON.stringify(left));
  assert.ok(left.length <= 3, 'only what has led to the last table is left');
  await assertSound(manager, store);
  assert.deepEqual(await contentsOf(manager), newest);
  await manager.maintain({ thorough: true });
  await assertSound(manager, store);
  await assertKnown(manager, said);
  assert.deepEqual(await contentsOf(manager), newest, 'what comes late again has no effect');
  await assertSound(manager, store);
}

test('what is kept of a table that is rebuilt for ever does not grow', async (t) => {
  for (const [name, stepsOf] of Object.entries(patterns)) {
    await t.test(`${name}, in slots of its own`, () => rebuild(stepsOf, true));
    await t.test(`${name}, in the same slots`, () => rebuild(stepsOf, false));
  }
});

test('the drop of a name whose table had gone on stays known while another has the name', async () => {
  const { manager, store, world } = await openEngine({ tombstoneTTL: TTL_MS });
  const device = new Device(1, START_MS);
  const said = [
    device.migrate('create_table', 't', { schemaVersion: 1 }),
    device.migrate('rename_table', 'kept', { fromTable: 't', schemaVersion: 2 }),
    device.migrate('drop_table', 't', { schemaVersion: 3 }),
    device.migrate('create_table', 't', { schemaVersion: 4 }),
    device.write({ pk: [1], set: { a: 1 } }),
  ];
  await manager.apply(said);
  world.nowMs += 2 * TTL_MS;
  await manager.maintain({ thorough: true });
  await assertKnown(manager, said);
  await assertSound(manager, store);
});

/** Nobody is told anything when all of it comes late again. */
async function assertKnown(manager: SyncManager, said: readonly WireChangeSet[]): Promise<void> {
  const before = manager.position;
  for (const order of [said, said.toReversed()]) {
    assert.equal((await manager.apply(order)).applied, 0);
  }
  assert.deepEqual(await readAll(manager, before), []);
}

async function contentsOf(manager: SyncManager) {
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  return replica.contents();
}

/** A new device has the same by the log and by a snapshot, and fails on no DDL. */
async function assertSound(manager: SyncManager, store: KVStore): Promise<void> {
  for await (const found of verifyDatabase(store)) assert.fail(JSON.stringify(found));
  const chunks = await takeSnapshot(manager);
  const log = await readAll(manager);
  const replica = new Replica();
  replica.apply(log);
  assert.deepEqual(replica.contents(), await contentsOf(manager), 'log and snapshot');
  const ofSnapshot = (chunks as { migration?: WireMigration }[]).flatMap(
    ({ migration }) => migration ?? [],
  );
  const tables = tablesAfter(ofSnapshot);
  assert.deepEqual(tablesAfter(log.flatMap(({ schemaMigrations }) => schemaMigrations)), tables);
  assert.ok(tables.has('t'));
}

/** The tables of a device that carries out DDL in this order. */
function tablesAfter(migrations: readonly WireMigration[]): Set<string> {
  const tables = new Set<string>();
  for (const { type, table, fromTable = '' } of migrations) {
    if (type === 'create_table') tables.add(table);
    if (type === 'add_column') assert.ok(tables.has(table), `no ${table} to be altered`);
    if (type === 'drop_table') tables.delete(table);
    if (type !== 'rename_table') continue;
    assert.ok(tables.delete(fromTable), `no ${fromTable} to be renamed`);
    assert.ok(!tables.has(table), `${table} is there already`);
    tables.add(table);
  }
  return tables;
}
