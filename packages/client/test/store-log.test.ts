/** The log before a store: what it does with much, and with what goes wrong. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSyncClient } from '../src/index.ts';
import { StoreLog } from '../src/replica/store-log.ts';
import { MemoryStore, memoryStore } from '../src/stores/memory.ts';
import { type ClientStore, StoreError, type StoreOperation } from '../src/stores/store.ts';
import { uncaught } from './support/client.ts';
import { FakeWorld, settle } from './support/fake-world.ts';

const put = (key: string): StoreOperation => ({ type: 'put', key, value: 1 });

/** Takes a few operations at once, as one that writes a batch as one text. */
class NarrowStore extends MemoryStore {
  readonly sizes: number[] = [];

  override async commit(...args: Parameters<ClientStore['commit']>): Promise<void> {
    const { length } = args[0];
    if (length > 8) throw new RangeError('Invalid string length');
    this.sizes.push(length);
    return super.commit(...args);
  }
}

function createLog(store: ClientStore, durable: (keys: string[]) => void = () => {}) {
  const faults: (StoreError | undefined)[] = [];
  const log = new StoreLog(store, new FakeWorld(), {
    fault: (fault) => faults.push(fault),
    durable: ({ operations }) => durable(operations.map((each) => Reflect.get(each, 'key'))),
    succeeded: () => {},
  });
  return { log, faults };
}

test('what is too much at once for a store goes in parts, in its order', async () => {
  const entries = new Map<string, unknown>();
  const store = new NarrowStore(entries);
  const told: string[] = [];
  const { log, faults } = createLog(store, (keys) => told.push(...keys));
  const keys = Array.from({ length: 100 }, (_, i) => `${i}`);
  const durable = keys.map((key) => log.write([put(key)]));
  log.start();
  await Promise.all(durable);
  await settle();
  assert.deepEqual([...entries.keys()], keys);
  assert.deepEqual(told, keys);
  assert.deepEqual(faults, [], 'a part was taken each time');
  assert.ok(store.sizes.some((size) => size > 4));
  await log.close();
});

test('operations of one write are never parted', async () => {
  const store = new NarrowStore();
  const { log, faults } = createLog(store);
  log.write([put('a')]);
  log.write(Array.from({ length: 9 }, (_, i) => put(`${i}`)));
  log.start();
  await settle();
  assert.deepEqual(store.sizes, [1]);
  assert.equal(faults.at(-1)?.message, 'Invalid string length');
  await assert.rejects(log.close(), StoreError);
});

test('what is thrown by whoever is told that a batch is durable does not stop the log', async (t) => {
  const thrown = uncaught(t);
  const entries = new Map<string, unknown>();
  const { log } = createLog(memoryStore(entries), () => {
    throw new Error('of the listener');
  });
  log.start();
  await log.write([put('a')]);
  await settle();
  await log.write([put('b')]);
  await settle();
  assert.deepEqual([...entries.keys()], ['a', 'b']);
  assert.equal(thrown.length, 2);
  await log.close();
});

test('a transaction that no store and no message can hold is refused at once', async (t) => {
  const client = createSyncClient({
    url: 'ws://127.0.0.1:1',
    store: memoryStore(),
    environment: new FakeWorld(),
    connect: false,
  });
  t.after(() => client.close());
  await client.ready;
  const text = 'x'.repeat(2 ** 26);
  const large = () => client.transact((tx) => tx.table('t').set([1], { a: text, b: text }));
  assert.throws(large, RangeError);
  assert.equal(client.status.pending, 0);
  await client.transact((tx) => tx.table('t').set([2], { a: 'small' })).durable;
});
