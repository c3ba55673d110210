/** A store that has no room from the very first start on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCoordinator } from '../../../src/testing/index.ts';
import { createSyncClient } from '../src/index.ts';
import { MemoryStore } from '../src/stores/memory.ts';
import { type ClientStore, type StoredValue, StoreError } from '../src/stores/store.ts';
import { Socket, startClient, synced, until } from './support/client.ts';
import { FakeWorld } from './support/fake-world.ts';
import { SimulatedProfile } from './support/simulated-profile.ts';

/** As long as it is full nothing can be written; nor be read, where `isShut`. */
class FullStore extends MemoryStore {
  isFull = true;
  readonly #isShut: boolean;

  constructor(isShut: boolean, entries?: Map<string, StoredValue>) {
    super(entries);
    this.#isShut = isShut;
  }

  #look(isRefused: boolean): void {
    if (this.isFull && isRefused) throw new StoreError('STORE_FULL', 'there is no room');
  }

  override async load(): ReturnType<ClientStore['load']> {
    this.#look(this.#isShut);
    return super.load();
  }

  override async commit(...args: Parameters<ClientStore['commit']>): Promise<void> {
    this.#look(true);
    return super.commit(...args);
  }
}

for (const isShut of [false, true]) {
  test(`a store that is full at the first start${isShut ? ', and so can not be opened,' : ''} is tried again, and what was written meanwhile is sent`, async (t) => {
    const server = await startCoordinator(t);
    const store = new FullStore(isShut);
    const client = await startClient(t, { url: server.wsUrl, store });
    assert.equal(client.status.storeError?.code, 'STORE_FULL');
    const { siteId } = client;
    const write = client.transact((tx) => tx.table('tasks').set([1], { title: 'in memory' }));
    assert.deepEqual(client.table('tasks').get([1]), { title: 'in memory' });
    assert.equal(client.status.pending, 1);
    store.isFull = false;
    await write.durable;
    assert.equal(await write.settled, 'acknowledged');
    assert.equal(client.status.storeError, undefined);
    assert.equal(client.siteId, siteId);
    await synced(client);
    const other = await startClient(t, { url: server.wsUrl });
    await synced(other);
    assert.deepEqual(other.table('tasks').get([1]), { title: 'in memory' });
  });
}

test('a client whose store is full can be closed, and says that what was written is lost', async (t) => {
  const server = await startCoordinator(t);
  for (const isFullAtStart of [true, false]) {
    const store = new FullStore(true);
    store.isFull = isFullAtStart;
    const client = createSyncClient({ url: server.wsUrl, store, WebSocket: Socket });
    await client.ready;
    store.isFull = true;
    client.transact((tx) => tx.table('tasks').set([1], { title: 'x' }));
    await until(client, ({ storeError }) => storeError !== undefined);
    const isTold = { name: 'StoreError', code: 'STORE_FULL' };
    const closing = client.close();
    await assert.rejects(closing, isTold);
    await assert.rejects(client.close(), isTold, 'whoever closes it is told');
  }
});

test('a store that has room again when the client is closed takes what was written', async () => {
  const entries = new Map<string, StoredValue>();
  const store = new FullStore(false, entries);
  store.isFull = false;
  // Where no time passes nothing is tried again by itself.
  const environment = new FakeWorld();
  const client = createSyncClient({ url: 'ws://127.0.0.1:1', store, environment, connect: false });
  await client.ready;
  store.isFull = true;
  const write = client.transact((tx) => tx.table('tasks').set([1], { title: 'x' }));
  await until(client, ({ storeError }) => storeError !== undefined);
  store.isFull = false;
  await client.close();
  await write.durable;
  assert.ok(entries.has(`out/${write.id}`));
});

test('a replica that turns up when there is room takes over what was written meanwhile', async (t) => {
  const server = await startCoordinator(t);
  const entries = new Map<string, StoredValue>();
  const first = await startClient(t, { url: server.wsUrl, store: new MemoryStore(entries) });
  await first.transact((tx) => tx.table('tasks').set([1], { title: 'of before' })).settled;
  await first.close();
  const store = new FullStore(true, entries);
  const client = await startClient(t, { url: server.wsUrl, store });
  assert.notEqual(client.siteId, first.siteId);
  const write = client.transact((tx) => {
    tx.table('tasks').set([1], { title: 'meanwhile' });
    tx.table('tasks').set([2], { title: 'meanwhile' });
  });
  store.isFull = false;
  assert.equal(await write.settled, 'acknowledged');
  assert.equal(client.siteId, first.siteId);
  const other = await startClient(t, { url: server.wsUrl });
  await synced(other);
  assert.deepEqual(
    other
      .table('tasks')
      .all()
      .map(({ row }) => row),
    [{ title: 'meanwhile' }, { title: 'meanwhile' }],
  );
  assert.deepEqual(client.table('tasks').all(), other.table('tasks').all());
  const sites = [...entries].flatMap(([, value]) => Reflect.get(Object(value), 'siteId') ?? []);
  assert.deepEqual(new Set(sites), new Set([first.siteId]));
});

test('tabs that share a full store are one site when there is room, with what each has written', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  profile.isFull = true;
  t.after(() => Promise.all([...profile.tabs].map((tab) => tab.close())));
  const tabs = [0, 1, 2].map(() => profile.open({ url: server.wsUrl }));
  const writes = await Promise.all(
    tabs.map(async ({ client }, i) => {
      await client.ready;
      assert.equal(client.status.storeError?.code, 'STORE_FULL');
      return client.transact((tx) => tx.table('tasks').set([i], { title: `tab ${i}` }));
    }),
  );
  profile.isFull = false;
  for (const write of writes) assert.equal(await write.settled, 'acknowledged');
  for (const { client } of tabs) {
    await synced(client);
    await until(client, ({ storeError }) => storeError === undefined);
    assert.equal(client.table('tasks').all().length, 3);
  }
  assert.equal(new Set(tabs.map(({ client }) => client.siteId)).size, 1);
});
