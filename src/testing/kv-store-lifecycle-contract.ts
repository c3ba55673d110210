/** Opening, closing, and several databases of one storage. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { KVStoreContractOptions } from './kv-store-contract-options.ts';
import {
  bytes,
  deferred,
  EVERYTHING,
  entriesOf,
  get,
  keysOf,
  numberedKey,
  openStorage,
  openStore,
  unavailable,
  write,
  writeNumbered,
} from './kv-store-contract-support.ts';

/** Ids that careless naming would map to one name, or to a name outside of the directory. */
const CONFUSABLE_IDS = [
  'a',
  'A',
  'aa',
  'Aa',
  'aA',
  'a:',
  'a.',
  'a-',
  'a_',
  'a:b',
  'a.b',
  'a_b',
].concat(
  ['.', '..', '...', '-', ':', '_', 'con', 'CON', 'nul.txt', '_coordinator', 'default', 'Default'],
  ['x'.repeat(128), 'X'.repeat(128), `${'X'.repeat(127)}x`, `${'X'.repeat(127)}Y`],
);

const INVALID_IDS = ['', 'x'.repeat(129), 'a/b', '../a', 'a\\b', 'a b', 'a\0', 'a\n', 'ä', 'a%2e'];

export function lifecycleContract(options: KVStoreContractOptions): void {
  describe('opening and closing', () => {
    test('a database that was closed is the same when it is opened again', async (t) => {
      const { storage } = await openStorage(t, options);
      const first = await storage.open('kept');
      await writeNumbered(first, 3000);
      await write(first, { [numberedKey(7)]: undefined });
      await first.close();
      const second = await storage.open('kept');
      const keys = await keysOf(second);
      assert.equal(keys.length, 2999);
      assert.equal(keys[7], numberedKey(8));
      await write(second, { a: 'after' });
      assert.equal(await get(second, 'a'), 'after');
    });

    if (options.persistent) {
      test('data outlives the storage', async (t) => {
        const { storage, reopen } = await openStorage(t, options);
        const store = await storage.open('kept');
        await write(store, { a: '1', b: '2' });
        await write(store, { b: undefined, c: '3' });
        assert.ok(reopen, 'a persistent storage gives reopen');
        const reopened = await (await reopen()).open('kept');
        assert.deepEqual(await entriesOf(reopened), [
          ['a', '1'],
          ['c', '3'],
        ]);
      });
    }

    test('closing waits for the transactions before it, and what comes later is refused', async (t) => {
      const { storage } = await openStorage(t, options);
      const store = await storage.open('closing');
      const gate = deferred();
      const running = store.exclusive(async (transaction) => {
        await gate.promise;
        assert.deepEqual(await keysOf(transaction), []);
        transaction.put(bytes('running'), bytes('1'));
      });
      const queued = write(store, { queued: '1' });
      const closing = store.close();
      const late = [
        write(store, { late: '1' }),
        get(store, 'a').then(() => {}),
        keysOf(store).then(() => {}),
        store.view().then(() => {}),
      ].map((call) => assert.rejects(call, unavailable));
      await turn();
      gate.resolve();
      await Promise.all([running, queued, closing, ...late]);
      await store.close();
      assert.deepEqual(await keysOf(await storage.open('closing')), ['queued', 'running']);
    });

    test('closing ends a loop that is open', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 5000);
      const loop = async () => {
        for await (const entries of store.iterate(EVERYTHING)) {
          assert.ok(entries.length < 5000, 'this test needs more than one array');
          await store.close();
        }
      };
      await assert.rejects(loop(), unavailable);
    });

    test('a closed storage opens nothing', async (t) => {
      const { storage } = await openStorage(t, options);
      const left = await storage.open('left-open');
      await storage.close();
      await assert.rejects(get(left, 'a'), unavailable);
      await assert.rejects(storage.open('any'), unavailable);
    });

    test('a storage says what it is', async (t) => {
      const { storage } = await openStorage(t, options);
      assert.match(storage.description, /\S/);
    });
  });

  describe('databases', () => {
    test('are apart, whatever they are called', async (t) => {
      const { storage } = await openStorage(t, options);
      const stores = new Map<string, Awaited<ReturnType<typeof storage.open>>>();
      for (const id of CONFUSABLE_IDS) stores.set(id, await storage.open(id));
      for (const [id, store] of stores) await write(store, { id, [`of ${id}`]: '1' });
      for (const [id, store] of stores) {
        assert.deepEqual(await keysOf(store), ['id', `of ${id}`]);
        assert.equal(await get(store, 'id'), id);
      }
    });

    test('do not wait for each other', async (t) => {
      const { storage } = await openStorage(t, options);
      const [one, other] = [await storage.open('one'), await storage.open('other')];
      const gate = deferred();
      const waiting = one.exclusive(() => gate.promise);
      await write(other, { a: '1' });
      gate.resolve();
      await waiting;
    });

    for (const id of INVALID_IDS) {
      test(`${JSON.stringify(id.slice(0, 20))} (${id.length}) is no database id`, async (t) => {
        const { storage } = await openStorage(t, options);
        await assert.rejects(storage.open(id), { code: 'INVALID_DATABASE_ID' });
      });
    }

    const { tamperFormat } = options;
    if (tamperFormat) {
      test('of another format or name are refused', async (t) => {
        const { storage } = await openStorage(t, options);
        await (await storage.open('a')).close();
        await tamperFormat(storage, 'a', { format: 99, databaseId: 'a' });
        await assert.rejects(storage.open('a'), { code: 'STORE_FORMAT', message: /\b99\b/ });
        // A refusal leaves nothing open, so the second attempt gets the same error.
        await assert.rejects(storage.open('a'), { code: 'STORE_FORMAT', message: /\b99\b/ });
        await (await storage.open('copied')).close();
        await tamperFormat(storage, 'copied', { format: 1, databaseId: 'original' });
        await assert.rejects(storage.open('copied'), { code: 'STORE_FORMAT' });
        await storage.open('original');
      });
    }
  });
}
