/** Rows of a snapshot are stored in pages: whoever reads the store, or hears of it, has the same rows. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../../../test/support/runs.ts';
import { rowKeyOf } from '../src/replica/entries.ts';
import { packed, unpacked } from '../src/replica/pages.ts';
import { Replica } from '../src/replica/replica.ts';
import type { StoredValue, StoreOperation } from '../src/stores/store.ts';

const ROWS = 80;
const META = { format: 2, databaseId: 'd', siteId: 's', generation: 1 };

function rowOf(id: number, value: number) {
  return { schema: 'main', table: 't', pk: [id], cells: { a: ['hlc', value] } };
}

const keyOf = (id: number) => `row/1/${rowKeyOf({ schema: 'main', table: 't', pk: [id] })}`;

/** A store, the replica that writes it, and one in another tab that hears of it. */
class World {
  readonly writer = new Replica(META);
  readonly listener = new Replica(META);
  readonly entries = new Map<string, StoredValue>();

  commit(operations: readonly StoreOperation[]): void {
    const { writer } = this;
    const stored = packed(operations, writer.paged, (key) => writer.has(key));
    writer.apply(operations);
    for (const operation of stored) this.#store(operation);
    this.listener.apply(stored);
  }

  #store(operation: StoreOperation): void {
    if (operation.type === 'put') this.entries.set(operation.key, operation.value);
    else if (operation.type === 'delete') this.entries.delete(operation.key);
    else {
      for (const key of this.entries.keys()) {
        if (key.startsWith(operation.prefix)) this.entries.delete(key);
      }
    }
  }

  /** That of a client which is started anew: it goes on from there. */
  restart(): void {
    const { entries, paged } = unpacked(this.entries);
    this.writer.apply([{ type: 'clear', prefix: 'row/1/' }]);
    this.writer.paged = paged;
    this.writer.apply([...entries].map(([key, value]) => ({ type: 'put', key, value })));
  }
}

const rowsOf = (replica: Replica) => Object.fromEntries(replica.generation(1).rows);

const batch = fc.oneof(
  fc.record({ from: fc.nat(ROWS), count: fc.nat(ROWS), value: fc.nat(9) }),
  fc.record({ gone: fc.nat(ROWS) }),
  fc.constant('restart' as const),
  fc.constant('clear' as const),
);

test('after any batches the store, the writer and the other tab have the same rows', () => {
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 12 }), (batches) => {
      const world = new World();
      const expected = new Map<string, unknown>();
      for (const each of batches) {
        if (each === 'restart') world.restart();
        else if (each === 'clear') {
          expected.clear();
          const clear = ['row/1/', 'page/1/'].map((prefix) => ({ type: 'clear' as const, prefix }));
          world.commit(clear);
        } else if ('gone' in each) {
          expected.delete(keyOf(each.gone));
          world.commit([{ type: 'delete', key: keyOf(each.gone) }]);
        } else {
          const ids = Array.from({ length: each.count }, (_, i) => (each.from + i) % ROWS);
          const puts = ids.map((id) => ({ key: keyOf(id), value: rowOf(id, each.value) }));
          for (const { key, value } of puts) expected.set(key, value);
          world.commit(puts.map((put) => ({ type: 'put', ...put })));
        }
        const rows = Object.fromEntries(
          [...expected].map(([key, value]) => [key.slice('row/1/'.length), value]),
        );
        assert.deepEqual(rowsOf(world.writer), rows, 'the writer');
        assert.deepEqual(rowsOf(world.listener), rows, 'the other tab');
        assert.deepEqual(
          Object.fromEntries(unpacked(world.entries).entries),
          Object.fromEntries(expected),
          'the store',
        );
      }
    }),
    { numRuns: runs(100) },
  );
});

test('many new rows are one entry, few have entries of their own', () => {
  const world = new World();
  const puts = (from: number, count: number) =>
    Array.from({ length: count }, (_, i): StoreOperation => {
      return { type: 'put', key: keyOf(from + i), value: rowOf(from + i, 1) };
    });
  world.commit(puts(0, 50));
  assert.equal(world.entries.size, 1);
  world.commit(puts(0, 50));
  assert.equal(world.entries.size, 51, 'what is not new is written beside the page');
  world.commit(puts(60, 3));
  assert.equal(world.entries.size, 54);
});
