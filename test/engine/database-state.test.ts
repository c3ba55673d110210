/** A node's picture of a database that others write to as well. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Appended, DatabaseState } from '../../src/engine/database-state.ts';
import { createLogger } from '../../src/logger.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';

const LOGGER = createLogger('test:state');

/** A database that another node writes to, and this node's picture of it. */
async function openTwice() {
  const store = await createMemoryStorage().open('test');
  const other = (await openEngine({ store })).manager;
  const device = new Device(1);
  const write = () => other.apply([device.write({ pk: [device.wallTime], set: { x: 1 } })]);
  await write();
  const state = await DatabaseState.load(store, LOGGER);
  const heard: Appended[] = [];
  state.onAppended((appended) => heard.push(appended));
  return { store, other, write, state, heard };
}

test('what others wrote is there after a look, and told once', async () => {
  const { store, other, write, state, heard } = await openTwice();
  const after = state.head.position;
  await write();
  await state.refresh(store);
  await state.refresh(store);
  assert.equal(state.head.position, other.position);
  assert.deepEqual(heard, [{ after, end: other.position, records: undefined }]);
});

test('a commit of our own that is heard of late takes nothing back', async () => {
  const { store, other, write, state, heard } = await openTwice();
  const { head, catalog } = state;
  await write();
  await state.refresh(store);
  state.committed({ before: '', head, catalog: catalog.catalog, records: [] });
  assert.equal(state.head.position, other.position);
  assert.equal(heard.length, 1);
});

test('a look that is overtaken by a newer one takes nothing back', async () => {
  const { store, other, write, state, heard } = await openTwice();
  await write();
  const old = await store.view();
  await write();
  const slow: KVStore = { ...store, getMany: (keys) => old.getMany(keys) };
  const looking = state.refresh(slow);
  await state.refresh(store);
  await looking;
  assert.equal(state.head.position, other.position);
  assert.equal(heard.at(-1)?.end, other.position);
});

test('a catalog that others change while it is read is read again', async () => {
  const { store, write, state } = await openTwice();
  const another = new Device(2);
  const other = (await openEngine({ store })).manager;
  const makeTable = (table: string) =>
    other.apply([another.write({ table, pk: [1], set: { x: 1 } })]);
  await makeTable('second');
  await write();
  let reads = 0;
  const busy: KVStore = {
    ...store,
    async *iterate(range) {
      yield* store.iterate(range);
      if (reads++ === 0) await makeTable('third');
    },
  };
  await state.refresh(busy);
  assert.equal(state.head.position, other.position);
  assert.equal(state.catalog.version, state.head.catalogVersion);
  assert.ok(state.catalog.catalog.liveTable('main', 'third') !== undefined);
});
