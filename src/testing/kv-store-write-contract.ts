/** Transactions: one writer at a time, and all or nothing. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { KVStore, KVTransaction } from '../storage/kv-store.ts';
import type { KVStoreContractOptions } from './kv-store-contract-options.ts';
import {
  bytes,
  EVERYTHING,
  entriesOf,
  get,
  keysOf,
  openStore,
  text,
  write,
} from './kv-store-contract-support.ts';

export function writeContract(options: KVStoreContractOptions): void {
  describe('writing', () => {
    test('a transaction commits all that it put and deleted, and gives its result', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: 'old', b: 'old', c: 'old' });
      const result = await store.exclusive(async (transaction) => {
        transaction.put(bytes('a'), bytes('new'));
        transaction.delete(bytes('b'));
        transaction.delete(bytes('never there'));
        transaction.put(bytes('d'), bytes('new'));
        return 'the result';
      });
      assert.equal(result, 'the result');
      assert.deepEqual(await entriesOf(store), [
        ['a', 'new'],
        ['c', 'old'],
        ['d', 'new'],
      ]);
    });

    test('the last put or delete of a key counts', async (t) => {
      const store = await openStore(t, options);
      await write(store, { there: 'old' });
      await store.exclusive(async (transaction) => {
        transaction.put(bytes('twice'), bytes('first'));
        transaction.put(bytes('twice'), bytes('last'));
        transaction.put(bytes('gone'), bytes('first'));
        transaction.delete(bytes('gone'));
        transaction.delete(bytes('there'));
        transaction.put(bytes('there'), bytes('again'));
      });
      assert.deepEqual(await entriesOf(store), [
        ['there', 'again'],
        ['twice', 'last'],
      ]);
    });

    test('what was put may be changed afterwards by whoever put it', async (t) => {
      const store = await openStore(t, options);
      await store.exclusive(async (transaction) => {
        const reused = bytes('1');
        transaction.put(reused, reused);
        reused.fill(0x32);
        transaction.put(reused, reused);
        reused.fill(0x33);
      });
      assert.deepEqual(await entriesOf(store), [
        ['1', '1'],
        ['2', '2'],
      ]);
    });

    test('work that throws writes nothing, and its error passes through', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: 'old' });
      const error = new RangeError('of the work');
      const failing = store.exclusive(async (transaction) => {
        transaction.put(bytes('a'), bytes('new'));
        transaction.put(bytes('b'), bytes('new'));
        await turn();
        throw error;
      });
      await assert.rejects(failing, (thrown) => thrown === error);
      assert.deepEqual(await entriesOf(store), [['a', 'old']]);
      await write(store, { c: 'after' });
      assert.deepEqual(await keysOf(store), ['a', 'c']);
    });

    test('work that throws before it awaits is no different', async (t) => {
      const store = await openStore(t, options);
      const failing = store.exclusive((transaction) => {
        transaction.put(bytes('a'), bytes('new'));
        throw new RangeError('at once');
      });
      await assert.rejects(failing, new RangeError('at once'));
      assert.deepEqual(await keysOf(store), []);
    });

    test('a transaction that writes nothing is fine', async (t) => {
      const store = await openStore(t, options);
      assert.equal(await store.exclusive(async () => 7), 7);
    });

    test('reads inside see what is committed, not what the transaction wrote', async (t) => {
      const store = await openStore(t, options);
      await write(store, { a: 'old', b: 'old' });
      await store.exclusive(async (transaction) => {
        transaction.put(bytes('a'), bytes('new'));
        transaction.delete(bytes('b'));
        transaction.put(bytes('c'), bytes('new'));
        const committed = [
          ['a', 'old'],
          ['b', 'old'],
        ];
        assert.deepEqual(await entriesOf(transaction), committed);
        assert.equal(await get(transaction, 'c'), undefined);
        assert.deepEqual(await entriesOf(store), committed);
      });
      assert.deepEqual(await keysOf(store), ['a', 'c']);
    });

    test('a transaction sees what the one before it committed', async (t) => {
      const store = await openStore(t, options);
      await write(store, { counter: '0' });
      const increment = () =>
        store.exclusive(async (transaction) => {
          const count = Number(await get(transaction, 'counter'));
          await turn();
          transaction.put(bytes('counter'), bytes(String(count + 1)));
        });
      await Promise.all(Array.from({ length: 50 }, increment));
      assert.equal(await get(store, 'counter'), '50');
    });

    test('works do not interleave, and run in the order of their calls', async (t) => {
      const store = await openStore(t, options);
      const events: string[] = [];
      const works = ['1', '2', '3', '4', '5'].map((name) =>
        store.exclusive(async (transaction) => {
          events.push(`${name} begins`);
          await get(transaction, name);
          await turn();
          events.push(`${name} ends`);
          if (name === '3') throw new Error('the third fails');
        }),
      );
      const outcomes = await Promise.allSettled(works);
      assert.deepEqual(
        events,
        ['1', '2', '3', '4', '5'].flatMap((name) => [`${name} begins`, `${name} ends`]),
      );
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      );
    });

    test('a transaction is of no use after its work', async (t) => {
      const store = await openStore(t, options);
      let kept: KVTransaction | undefined;
      await store.exclusive(async (transaction) => {
        transaction.put(bytes('a'), bytes('1'));
        kept = transaction;
      });
      assert.throws(() => kept?.put(bytes('late'), bytes('1')));
      assert.throws(() => kept?.delete(bytes('a')));
      assert.deepEqual(await keysOf(store), ['a']);
    });

    test('a reader never sees a part of a transaction', async (t) => {
      const store = await openStore(t, options);
      const keys = Array.from({ length: 500 }, (_, index) => `k${1000 + index}`);
      const round = (value: string) =>
        write(store, Object.fromEntries(keys.map((k) => [k, value])));
      await round('0');
      let writing = true;
      const writer = (async () => {
        for (let value = 1; value <= 20; value++) await round(String(value));
        writing = false;
      })();
      while (writing) {
        const values = await store.getMany(keys.map(bytes));
        assert.equal(new Set(values.map((value) => value && text(value))).size, 1);
        assert.equal(new Set((await entriesOf(store)).map(([, value]) => value)).size, 1);
      }
      await writer;
    });

    test('any sequence of transactions leaves what a plain map would hold', async (t) => {
      const store = await openStore(t, options);
      const model = new Map<string, string>();
      const random = createRandom(20_240_229);
      for (let round = 0; round < 150; round++) {
        await randomTransaction(store, model, random, round);
        const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
        const [from, to] = [randomKey(random), randomKey(random)].sort();
        const within = sorted.filter(([key]) => key >= `${from}` && key < `${to}`);
        const range = { gte: bytes(`${from}`), lt: bytes(`${to}`) };
        assert.deepEqual(await entriesOf(store, range), within);
        assert.deepEqual(await entriesOf(store, { ...range, reverse: true }), within.toReversed());
        if (round % 10 === 0) assert.deepEqual(await entriesOf(store, EVERYTHING), sorted);
      }
      assert.ok(model.size > 500);
    });
  });
}

/** Mostly puts in the first two thirds of the rounds, more deletes afterwards. */
async function randomTransaction(
  store: KVStore,
  model: Map<string, string>,
  random: () => number,
  round: number,
): Promise<void> {
  await store.exclusive(async (transaction) => {
    const operations = Math.floor(random() ** 3 * 200);
    for (let index = 0; index < operations; index++) {
      const key = randomKey(random);
      if (random() < (round < 100 ? 0.1 : 0.6)) {
        transaction.delete(bytes(key));
        model.delete(key);
      } else {
        transaction.put(bytes(key), bytes(`${round}.${index}`));
        model.set(key, `${round}.${index}`);
      }
    }
  });
}

/**
 * One of few keys, so that keys repeat. Some have a byte that a signed comparison would order
 * wrongly.
 */
function randomKey(random: () => number): string {
  const length = 1 + Math.floor(random() * 3);
  return Array.from({ length }, () => String.fromCharCode(1 + Math.floor(random() * 25) * 10)).join(
    '',
  );
}

/** mulberry32: the same sequence each time. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
