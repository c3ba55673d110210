/** The rule by which client and server merge, as tables. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc, type HlcText } from '../../src/clock/hlc.ts';
import {
  columnOutcome,
  deleteOutcome,
  deleteRemovesCell,
  type MergeOutcome,
} from '../../src/protocol/merge-rule.ts';

const hlcAt = (counter: number): HlcText =>
  encodeHlc({ wallTime: 1_800_000_000_000n, counter, siteId: new Uint8Array(16), opSeq: 0 });
const maybe = (counter: number | undefined) => (counter === undefined ? counter : hlcAt(counter));

type Times = [change: number, cell: number | undefined, tombstone: number | undefined];

const none = undefined;
const COLUMNS: [...Times, resurrects: MergeOutcome, blocked: MergeOutcome][] = [
  [2, none, none, 'applied', 'applied'],
  [2, 1, none, 'applied', 'applied'],
  [2, 2, none, 'skipped', 'skipped'],
  [2, 3, none, 'conflicts', 'conflicts'],
  [2, none, 1, 'applied', 'skipped'],
  [2, none, 2, 'skipped', 'skipped'],
  [2, none, 3, 'skipped', 'skipped'],
  [3, 2, 1, 'applied', 'skipped'],
  [2, 2, 1, 'skipped', 'skipped'],
  [2, 3, 1, 'conflicts', 'conflicts'],
  [1, 3, 2, 'conflicts', 'conflicts'],
];

test('what becomes of a change of a column', () => {
  for (const [change, cell, tombstone, resurrects, blocked] of COLUMNS) {
    const outcome = (allowResurrection: boolean) =>
      columnOutcome(hlcAt(change), maybe(cell), maybe(tombstone), allowResurrection);
    const row = `change ${change}, cell ${cell}, tombstone ${tombstone}`;
    assert.equal(outcome(true), resurrects, row);
    assert.equal(outcome(false), blocked, `${row}, without resurrection`);
  }
});

test('what becomes of a delete', () => {
  const table: [number, number | undefined, MergeOutcome][] = [
    [2, none, 'applied'],
    [2, 1, 'applied'],
    [2, 2, 'skipped'],
    [2, 3, 'skipped'],
  ];
  for (const [change, tombstone, outcome] of table) {
    assert.equal(deleteOutcome(hlcAt(change), maybe(tombstone)), outcome, `${change} ${tombstone}`);
  }
});

test('which cells a delete removes', () => {
  const table: [cell: number, resurrects: boolean, blocked: boolean][] = [
    [1, true, true],
    [2, true, true],
    [3, false, true],
  ];
  for (const [cell, resurrects, blocked] of table) {
    assert.equal(deleteRemovesCell(hlcAt(2), hlcAt(cell), true), resurrects);
    assert.equal(deleteRemovesCell(hlcAt(2), hlcAt(cell), false), blocked);
  }
});

interface Change {
  column: string | undefined;
  hlc: HlcText;
}

/** The row after changes, in this order, as a client keeps it. */
function rowAfter(changes: readonly Change[], allowResurrection: boolean) {
  const cells = new Map<string, HlcText>();
  let tombstone: HlcText | undefined;
  for (const { column, hlc } of changes) {
    if (column !== undefined) {
      const outcome = columnOutcome(hlc, cells.get(column), tombstone, allowResurrection);
      if (outcome === 'applied') cells.set(column, hlc);
    } else if (deleteOutcome(hlc, tombstone) === 'applied') {
      tombstone = hlc;
      for (const [name, cell] of cells) {
        if (deleteRemovesCell(hlc, cell, allowResurrection)) cells.delete(name);
      }
    }
  }
  return { cells: [...cells].sort(), tombstone };
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((first, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [first, ...rest]),
  );
}

test('any four changes of a row give the same row in every order', () => {
  const changes = [1, 2, 3].flatMap((counter) =>
    [undefined, 'a', 'b'].map((column) => ({ column, hlc: hlcAt(counter) })),
  );
  for (let chosen = 0; chosen < 2 ** changes.length; chosen++) {
    const some = changes.filter((_, i) => (chosen >> i) % 2 === 1);
    if (some.length !== 4) continue;
    for (const allowResurrection of [true, false]) {
      const first = rowAfter(some, allowResurrection);
      for (const order of permutations(some)) {
        assert.deepEqual(rowAfter(order, allowResurrection), first, JSON.stringify(order));
      }
    }
  }
});
