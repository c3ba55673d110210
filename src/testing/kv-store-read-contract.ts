/** The order of keys, ranges, and reads of many keys at once. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KVRange } from '../storage/kv-store.ts';
import type { KVStoreContractOptions } from './kv-store-contract-options.ts';
import {
  arraysOf,
  bytes,
  EVERYTHING,
  entriesOf,
  get,
  keysOf,
  numberedKey,
  openStore,
  text,
  write,
  writeNumbered,
} from './kv-store-contract-support.ts';

/** Keys in memcmp order: bytes are unsigned, and a prefix comes before longer keys. */
const BINARY_KEYS = [
  '\x01',
  'A',
  'a',
  'a\x00',
  'a\x00\x00',
  'a\x00b',
  'a\x01',
  'aa',
  'a\xff',
].concat(['b', 'b\x7f', 'b\x80', '\x7f', '\x80', '\xfe', '\xff', '\xff\x00', '\xff\xff']);

const RANGES: readonly [name: string, range: KVRange, keys: string[]][] = [
  ['from gte, up to and without lt', { gte: bytes('b'), lt: bytes('d') }, ['b', 'c']],
  ['after gt', { gt: bytes('b'), lt: bytes('e') }, ['c', 'd']],
  ['after a gt that is no key', { gt: bytes('bb'), lt: bytes('e') }, ['c', 'd']],
  ['gt is only that key, not what it begins', { gt: bytes('a'), lt: bytes('c') }, ['b']],
  ['from a gte that is no key', { gte: bytes('bb'), lt: bytes('dd') }, ['c', 'd']],
  ['from the beginning', { gt: bytes('\x00\xff'), lt: bytes('c') }, ['a', 'b']],
  ['to the end', { gte: bytes('d'), lt: bytes('\xff') }, ['d', 'e']],
  ['of one key', { gte: bytes('c'), lt: bytes('c\x00') }, ['c']],
  ['empty between two keys', { gte: bytes('bb'), lt: bytes('c') }, []],
  ['empty after the last', { gte: bytes('f'), lt: bytes('z') }, []],
  ['empty where gte is lt', { gte: bytes('b'), lt: bytes('b') }, []],
  ['empty where gte is after lt', { gte: bytes('d'), lt: bytes('b') }, []],
  ['reverse', { gte: bytes('b'), lt: bytes('e'), reverse: true }, ['d', 'c', 'b']],
  ['reverse after gt', { gt: bytes('b'), lt: bytes('e'), reverse: true }, ['d', 'c']],
  ['reverse to the end', { gte: bytes('d'), lt: bytes('z'), reverse: true }, ['e', 'd']],
  ['reverse, empty', { gte: bytes('d'), lt: bytes('b'), reverse: true }, []],
  ['limit', { gte: bytes('b'), lt: bytes('z'), limit: 2 }, ['b', 'c']],
  ['limit beyond the end', { gte: bytes('d'), lt: bytes('z'), limit: 9 }, ['d', 'e']],
  ['limit 0', { gte: bytes('a'), lt: bytes('z'), limit: 0 }, []],
  ['limit from the end', { gte: bytes('a'), lt: bytes('e'), reverse: true, limit: 2 }, ['d', 'c']],
];

export function readContract(options: KVStoreContractOptions): void {
  describe('reading', () => {
    test('keys come in the order of their bytes, however they were written', async (t) => {
      const store = await openStore(t, options);
      const ascending = BINARY_KEYS.toSorted((a, b) => Buffer.compare(bytes(a), bytes(b)));
      const shuffled = ascending.toSorted(
        (a, b) => text(bytes(a)).length - b.length || (a > b ? -1 : 1),
      );
      for (const key of shuffled) await write(store, { [key]: `of ${key}` });
      assert.deepEqual(
        await entriesOf(store),
        ascending.map((key) => [key, `of ${key}`]),
      );
      assert.deepEqual(
        await keysOf(store, { ...EVERYTHING, reverse: true }),
        ascending.toReversed(),
      );
    });

    for (const [name, range, keys] of RANGES) {
      test(`a range: ${name}`, async (t) => {
        const store = await openStore(t, options);
        await write(store, { e: '5', c: '3', a: '1', d: '4', b: '2' });
        assert.deepEqual(await keysOf(store, range), keys);
      });
    }

    test('ranges are exact where there are many keys', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 12_000);
      const all = Array.from({ length: 12_000 }, (_, index) => numberedKey(index));
      assert.deepEqual(await keysOf(store), all);
      for (const [from, to] of [
        [0, 1],
        [127, 129],
        [255, 257],
        [999, 1001],
        [1234, 9876],
      ] as const) {
        const range = { gte: bytes(numberedKey(from)), lt: bytes(numberedKey(to)) };
        assert.deepEqual(await keysOf(store, range), all.slice(from, to));
        const { gte: gt, lt } = range;
        assert.deepEqual(await keysOf(store, { gt, lt }), all.slice(from + 1, to));
        assert.deepEqual(
          await keysOf(store, { ...range, reverse: true }),
          all.slice(from, to).toReversed(),
        );
        assert.deepEqual(
          await keysOf(store, { ...EVERYTHING, gte: bytes(numberedKey(from)), limit: 2345 }),
          all.slice(from, from + 2345),
        );
      }
    });

    test('an array of entries holds no more than it may', async (t) => {
      const store = await openStore(t, options);
      const large = new Uint8Array(300 * 1024);
      await store.exclusive(async (transaction) => {
        for (let index = 0; index < 20; index++) transaction.put(bytes(numberedKey(index)), large);
      });
      const arrays = await arraysOf(store, EVERYTHING);
      assert.equal(arrays.flat().length, 20);
      for (const entries of arrays) {
        const beyondLast = entries.slice(0, -1).reduce((sum, [, value]) => sum + value.length, 0);
        assert.ok(beyondLast <= 1.5 * 1024 * 1024, `${beyondLast} bytes beside the last entry`);
      }
    });

    test('breaking out of a loop leaves the store as it was', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 3000);
      for (let round = 0; round < 50; round++) {
        for await (const [first] of store.iterate(EVERYTHING)) {
          assert.equal(first && text(first[0]), numberedKey(0));
          break;
        }
      }
      assert.equal((await keysOf(store)).length, 3000);
      await store.close();
    });

    test('an error in a loop passes through it', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 3000);
      await assert.rejects(async () => {
        for await (const _entries of store.iterate(EVERYTHING)) throw new RangeError('of the loop');
      }, new RangeError('of the loop'));
      assert.equal((await keysOf(store)).length, 3000);
    });

    test('a loop sees what was there when it began', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 3000, 'old');
      const seen: [string, string][] = [];
      for await (const entries of store.iterate(EVERYTHING)) {
        if (seen.length === 0) {
          await writeNumbered(store, 4000, 'new');
          await write(store, { [numberedKey(2500)]: undefined });
        }
        for (const [key, value] of entries) seen.push([text(key), text(value)]);
      }
      assert.equal(seen.length, 3000);
      assert.ok(seen.every(([, value]) => value === 'old'));
    });

    test('many values come in the order of their keys, also repeated and missing ones', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: '1', b: '2', 'b\x00': '3', empty: '' });
      const keys = ['b', 'none', 'a', 'b', 'b\x00', 'empty', 'a\x00', 'b'].map(bytes);
      const values = (await store.getMany(keys)).map((value) => value && text(value));
      assert.deepEqual(values, ['2', undefined, '1', '2', '3', '', undefined, '2']);
      assert.deepEqual(await store.getMany([]), []);
    });

    test('many keys at once', async (t) => {
      const store = await openStore(t, options);
      await writeNumbered(store, 20_000);
      const keys = Array.from({ length: 20_000 }, (_, index) => bytes(numberedKey(index * 2)));
      const values = await store.getMany(keys);
      assert.equal(values.length, keys.length);
      assert.equal(values.filter((value) => value !== undefined).length, 10_000);
      assert.ok(values[9_999] !== undefined && values[10_000] === undefined);
    });

    test('a part of a larger buffer is a key like any other', async (t) => {
      const store = await openStore(t, options);
      await write(store, { key: 'value' });
      const [value] = await store.getMany([bytes('a key here').subarray(2, 5)]);
      assert.equal(value && text(value), 'value');
      const lt = bytes('..kez..').subarray(2, 5);
      assert.deepEqual(await keysOf(store, { gte: Buffer.from('key'), lt }), ['key']);
    });

    test('values may be empty or large, and hold any byte', async (t) => {
      const store = await openStore(t, options);
      const large = new Uint8Array(5 * 1024 * 1024).map((_, index) => (index * 31) % 251);
      const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);
      await store.exclusive(async (transaction) => {
        transaction.put(bytes('large'), large);
        transaction.put(bytes('everyByte'), everyByte);
        transaction.put(bytes('empty'), new Uint8Array());
      });
      const [gotLarge, gotEveryByte] = await store.getMany([bytes('large'), bytes('everyByte')]);
      assert.ok(gotLarge && Buffer.compare(gotLarge, large) === 0);
      assert.ok(gotEveryByte && Buffer.compare(gotEveryByte, everyByte) === 0);
      assert.equal(await get(store, 'empty'), '');
      const sizes = (await arraysOf(store, EVERYTHING)).flat().map(([, value]) => value.length);
      assert.deepEqual(sizes, [0, 256, large.length]);
    });
  });
}
