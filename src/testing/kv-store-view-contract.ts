/** Views: they show exactly what was committed when they were made. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KVStoreContractOptions } from './kv-store-contract-options.ts';
import {
  bytes,
  EVERYTHING,
  entriesOf,
  get,
  keysOf,
  openStore,
  unavailable,
  write,
  writeNumbered,
} from './kv-store-contract-support.ts';

export function viewContract(options: KVStoreContractOptions): void {
  describe('views', () => {
    test('a view stays as it was while writes go on', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: 'old', b: 'old' });
      const view = await store.view();
      await write(store, { a: 'new', b: undefined, c: 'new' });
      assert.deepEqual(await entriesOf(view), [
        ['a', 'old'],
        ['b', 'old'],
      ]);
      assert.deepEqual(await view.getMany([bytes('c')]), [undefined]);
      assert.equal(await get(view, 'b'), 'old');
      assert.deepEqual(await entriesOf(store), [
        ['a', 'new'],
        ['c', 'new'],
      ]);
      await view.close();
    });

    test('a view outlasts many writes, also in the middle of a loop', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 5000, 'old');
      const view = await store.view();
      let seen = 0;
      for await (const entries of view.iterate(EVERYTHING)) {
        if (seen === 0) await writeNumbered(store, 40_000, 'new');
        seen += entries.length;
      }
      assert.equal(seen, 5000);
      const reversed = await entriesOf(view, { ...EVERYTHING, reverse: true });
      assert.ok(reversed.length === 5000 && reversed.every(([, value]) => value === 'old'));
      await view.close();
    });

    test('views are independent of each other', async (t) => {
      const store = await openStore(t, options);
      const views = [await store.view()];
      for (const key of ['a', 'b', 'c']) {
        await write(store, { [key]: 'v' });
        views.push(await store.view());
      }
      await views[1]?.close();
      const [empty, , two, three] = views;
      assert.deepEqual(empty && (await keysOf(empty)), []);
      assert.deepEqual(two && (await keysOf(two)), ['a', 'b']);
      await two?.close();
      assert.deepEqual(three && (await keysOf(three)), ['a', 'b', 'c']);
      await Promise.all(views.map((view) => view.close()));
    });

    test('a view can be made and read inside a transaction', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: 'old' });
      const view = await store.exclusive(async (transaction) => {
        transaction.put(bytes('a'), bytes('new'));
        const made = await store.view();
        assert.equal(await get(made, 'a'), 'old');
        return made;
      });
      assert.equal(await get(view, 'a'), 'old');
      await view.close();
    });

    test('a closed view refuses, and closing it again is harmless', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: '1' });
      const view = await store.view();
      await view.close();
      await view.close();
      await assert.rejects(get(view, 'a'), unavailable);
      await assert.rejects(keysOf(view), unavailable);
      assert.equal(await get(store, 'a'), '1');
    });

    test('a view that was left open ends with its store', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: '1' });
      const view = await store.view();
      await store.close();
      await assert.rejects(get(view, 'a'), unavailable);
      await view.close();
    });
  });
}
