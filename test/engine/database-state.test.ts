/** A node's picture of a database that others write to as well. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseState } from '../../src/engine/database-state.ts';
import type { Appended } from '../../src/engine/log-announcer.ts';
import { liveTable } from '../../src/engine/tables/catalog.ts';
import { createLogger } from '../../src/logging/logger.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';
import { aMoment } from '../support/moment.ts';

const LOGGER = createLogger('test:state');

/** A database that another node writes to, and this node's picture of it. */
async function openTwice({ wrap = (store: KVStore) => store } = {}) {
  const store = await createMemoryStorage().open('test');
  const other = (await openEngine({ store })).manager;
  const device = new Device(1);
  const write = (changes = 1) =>
    other.apply([
      device.write(
        ...Array.from({ length: changes }, (_, i) => ({
          ...{ table: 't', pk: [device.wallTime, i] },
          set: { x: 'x'.repeat(1000) },
        })),
      ),
    ]);
  await write();
  const state = await DatabaseState.load(wrap(store), {
    site: other.identity.siteIdText,
    logger: LOGGER,
  });
  const heard: Appended[] = [];
  const listen = () => state.onAppended((appended) => heard.push(appended));
  return { store, other, write, state, heard, listen };
}

/** Resolves when what is heard reaches the end of the log. */
async function toldUpTo(heard: readonly Appended[], end: string): Promise<void> {
  while (heard.at(-1)?.end !== end) await aMoment();
}

const positionsOf = ({ records }: Appended) => records?.map(({ position }) => position);

test('what others wrote is there after a look, and told once, with what was written', async () => {
  const { other, write, state, heard, listen } = await openTwice();
  listen();
  const after = state.current.head.position;
  await write();
  const between = other.position;
  await write();
  await state.refresh();
  await state.refresh();
  assert.equal(state.current.head.position, other.position);
  await toldUpTo(heard, other.position);
  const [appended] = heard;
  assert.ok(appended !== undefined && heard.length === 1);
  assert.equal(appended.after, after);
  assert.deepEqual(positionsOf(appended), [between, other.position]);
});

test('what others wrote is read once for all who listen, and not at all for nobody', async () => {
  let reads = 0;
  const counting = (store: KVStore): KVStore => ({
    ...store,
    iterate(range) {
      reads++;
      return store.iterate(range);
    },
  });
  const { other, write, state, heard, listen } = await openTwice({ wrap: counting });
  reads = 0;
  await write();
  await state.refresh();
  assert.equal(reads, 0);
  for (let i = 0; i < 5; i++) listen();
  const after = other.position;
  await write();
  await state.refresh();
  await toldUpTo(heard, other.position);
  assert.equal(reads, 1);
  assert.deepEqual(new Set(heard.map((appended) => appended.after)), new Set([after]));
});

test('what is written while that is read is told the next time, and not twice', async () => {
  let isBusy = false;
  const { other, write, state, heard, listen } = await openTwice({
    wrap: (store) => ({
      ...store,
      async *iterate(range) {
        if (isBusy) await write();
        isBusy = false;
        yield* store.iterate(range);
      },
    }),
  });
  listen();
  isBusy = true;
  await write();
  const first = other.position;
  await state.refresh();
  await toldUpTo(heard, first);
  await state.refresh();
  await toldUpTo(heard, other.position);
  assert.deepEqual(heard.flatMap(positionsOf), [first, other.position]);
});

test('a lot that others wrote is left to everybody to read', async () => {
  const { other, write, state, heard, listen } = await openTwice();
  listen();
  await write(300);
  await state.refresh();
  await toldUpTo(heard, other.position);
  assert.deepEqual(heard.map(positionsOf), [undefined]);
});

test('a commit of our own behind what others wrote is told after it, without a gap', async () => {
  const { store, other, write, state, heard, listen } = await openTwice();
  listen();
  const after = state.current.head.position;
  await write();
  const before = other.position;
  await write();
  const { head, catalog } = (
    await DatabaseState.load(store, { site: other.identity.siteIdText, logger: LOGGER })
  ).current;
  state.committed({ before, head, catalog, records: [] });
  assert.equal(heard.length, 0, 'what lies before it is not known yet');
  await toldUpTo(heard, other.position);
  assert.equal(heard[0]?.after, after);
  assert.deepEqual(heard.flatMap(positionsOf), [before, other.position]);
});

test('a commit of our own that is heard of late takes nothing back', async () => {
  const { other, write, state, heard, listen } = await openTwice();
  listen();
  const { head, catalog } = state.current;
  await write();
  await state.refresh();
  state.committed({ before: '', head, catalog, records: [] });
  assert.equal(state.current.head.position, other.position);
  await toldUpTo(heard, other.position);
  assert.equal(heard.length, 1);
});

test('a look that is overtaken by a commit of our own takes nothing back', async () => {
  let slow: KVStore | undefined;
  const { store, other, write, state } = await openTwice({
    wrap: (fast) => ({ ...fast, getMany: (keys) => (slow ?? fast).getMany(keys) }),
  });
  const before = other.position;
  await write();
  slow = { ...store, getMany: (await store.view()).getMany };
  await write();
  const { head, catalog } = (
    await DatabaseState.load(store, { site: other.identity.siteIdText, logger: LOGGER })
  ).current;
  const looking = state.refresh();
  state.committed({ before, head, catalog, records: [] });
  await looking;
  assert.equal(state.current.head.position, other.position);
});

test('whoever asks while others read what is new gets what came after that began', async () => {
  let reads = 0;
  const { other, write, state } = await openTwice({
    wrap: (store) => ({
      ...store,
      getMany(keys) {
        reads++;
        return store.getMany(keys);
      },
    }),
  });
  reads = 0;
  const first = state.refresh();
  // It has begun.
  await Promise.resolve();
  await write();
  const later = [state.refresh(), state.refresh(), state.refresh()];
  await Promise.all([first, ...later]);
  assert.equal(state.current.head.position, other.position);
  assert.equal(reads, 2);
});

test('when it cannot be read for all, everybody is left to read for themselves', async () => {
  let broken = false;
  const { other, write, state, heard, listen } = await openTwice({
    wrap: (store) => ({
      ...store,
      iterate(range) {
        if (broken) throw new Error('no way to it');
        return store.iterate(range);
      },
    }),
  });
  listen();
  broken = true;
  await write();
  await state.refresh();
  await toldUpTo(heard, other.position);
  assert.deepEqual(heard.map(positionsOf), [undefined]);
});

test('a catalog that others change while it is read is read again', async () => {
  let reads = 0;
  let isBusy = false;
  const { store, write, state } = await openTwice({
    wrap: (quiet) => ({
      ...quiet,
      async *iterate(range) {
        yield* quiet.iterate(range);
        if (isBusy && reads++ === 0) await makeTable('third');
      },
    }),
  });
  const another = new Device(2);
  const other = (await openEngine({ store })).manager;
  const makeTable = (table: string) =>
    other.apply([another.write({ table, pk: [1], set: { x: 1 } })]);
  await makeTable('second');
  await write();
  isBusy = true;
  await state.refresh();
  assert.equal(state.current.head.position, other.position);
  assert.ok(liveTable(state.current.catalog, 'main', 'third') !== undefined);
});
