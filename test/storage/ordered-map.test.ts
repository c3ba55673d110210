import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  EMPTY_MAP,
  entriesOfRange,
  type OrderedMap,
  valueByKey,
  withChanges,
} from '../../src/storage/ordered-map.ts';

const COUNT = 100_000;
const VALUE = Uint8Array.of(1);

function numberToKey(number: number): Uint8Array {
  const key = Buffer.alloc(5, 'k');
  key.writeUInt32BE(number, 1);
  return key;
}

function sizeOf(map: OrderedMap): number {
  return map.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** Every number below COUNT once, in different orders. */
const ORDERS: Readonly<Record<string, (index: number) => number>> = {
  ascending: (index) => index,
  descending: (index) => COUNT - 1 - index,
  // 7919 shares no factor with COUNT.
  scattered: (index) => (index * 7919) % COUNT,
};

describe('an ordered map', () => {
  for (const [name, order] of Object.entries(ORDERS)) {
    test(`keeps its chunks small, but not tiny, with ${COUNT} keys that come ${name}`, () => {
      let map = EMPTY_MAP;
      for (let from = 0; from < COUNT; from += 10) {
        const indexes = Array.from({ length: 10 }, (_, index) => from + index);
        map = withChanges(
          map,
          indexes.map((index) => [numberToKey(order(index)), VALUE]),
        );
      }
      assert.equal(sizeOf(map), COUNT);
      assert.ok(map.every((chunk) => chunk.length > 0 && chunk.length <= 256));
      assert.ok(map.length <= COUNT / 50, `${map.length} chunks`);
      assert.equal(valueByKey(map, numberToKey(COUNT / 2)), VALUE);
      assert.equal(valueByKey(map, numberToKey(COUNT)), undefined);
    });
  }

  test('shrinks with what is deleted, down to nothing', () => {
    const all = Array.from({ length: 10_000 }, (_, index) => numberToKey((index * 7919) % 10_000));
    let map = withChanges(
      EMPTY_MAP,
      all.map((key) => [key, VALUE]),
    );
    for (const key of all.slice(100)) map = withChanges(map, [[key, undefined]]);
    assert.equal(sizeOf(map), 100);
    assert.ok(map.length <= 30, `${map.length} chunks`);
    map = withChanges(
      map,
      all.map((key) => [key, undefined]),
    );
    assert.deepEqual(map, EMPTY_MAP);
  });

  test('shares what a change does not touch', () => {
    const all = Array.from({ length: 10_000 }, (_, index) => numberToKey(index));
    const before = withChanges(
      EMPTY_MAP,
      all.map((key) => [key, VALUE]),
    );
    const after = withChanges(before, [[numberToKey(5000), Uint8Array.of(2)]]);
    const shared = after.filter((chunk) => before.includes(chunk));
    assert.equal(shared.length, before.length - 1);
    const [[, old] = []] = [
      ...entriesOfRange(before, { gte: numberToKey(5000), lt: numberToKey(5001) }),
    ].flat();
    assert.equal(old, VALUE);
  });
});
