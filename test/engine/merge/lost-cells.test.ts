/** What is kept of a batch that loses is bounded, whatever it loses against. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { BatchOutcome } from '../../../src/engine/merge/batch.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

const MIB = 1024 * 1024;
const ROWS = 8;

setFlagsFromString('--expose-gc');
const gc: () => void = runInNewContext('gc');

function heapAfterGc(): number {
  gc();
  return process.memoryUsage().heapUsed;
}

/** A database with rows of 4 MiB, and a device whose changes all lose there. */
async function openLost() {
  const { manager } = await openEngine();
  const loser = new Device(2);
  const winner = new Device(1, loser.wallTime + 30_000);
  for (let i = 0; i < ROWS; i++) {
    const set = { long: 'x'.repeat(4 * MIB), short: `a value of some length ${i}` };
    await manager.apply([winner.write({ pk: [i], set })]);
  }
  return { manager, loser };
}

function keptOf({ unapplied }: BatchOutcome): (string | undefined)[] {
  return unapplied.flatMap(({ lost }) => (lost === undefined ? [] : [lost.value]));
}

test('100,000 changes that lose against values of 4 MiB keep none of these', async () => {
  const { manager, loser } = await openLost();
  const columns = ['long', 'short'];
  const rows = Array.from({ length: 100_000 }, (_, i) => ({
    pk: [i % ROWS],
    set: { [columns[(i >> 3) % 2] as string]: i },
  }));
  const outcome = await manager.apply([loser.write(...rows)]);
  assert.equal(outcome.conflicts, rows.length);
  const kept = keptOf(outcome);
  assert.equal(kept.length, 2 * ROWS, 'one for each cell');
  assert.deepEqual(
    kept.filter((value) => value !== undefined),
    Array.from({ length: ROWS }, (_, i) => JSON.stringify(`a value of some length ${i}`)),
  );
});

test('what is kept of a row does not keep the text of the whole row', async () => {
  const { manager, loser } = await openLost();
  const outcomes: BatchOutcome[] = [];
  const before = heapAfterGc();
  for (let i = 0; i < 10; i++) {
    const rows = Array.from({ length: ROWS }, (_, row) => ({ pk: [row], set: { short: i } }));
    outcomes.push(await manager.apply([loser.write(...rows)]));
  }
  const grown = heapAfterGc() - before;
  assert.equal(outcomes.flatMap(keptOf).length, 10 * ROWS);
  assert.ok(grown < 4 * MIB, `${(grown / MIB).toFixed(1)} MiB for ten batches`);
});

test('the batches of one group share what is kept of values', async () => {
  const { manager } = await openEngine();
  const loser = new Device(2);
  const winner = new Device(1, loser.wallTime + 30_000);
  const cells = Array.from({ length: 8 }, (_, i) => ({ pk: [i], set: { a: 'x'.repeat(8000) } }));
  await manager.apply([winner.write(...cells)]);
  const lost = Array.from({ length: 200 }, () =>
    manager.apply([loser.write(...cells.map(({ pk }) => ({ pk, set: { a: 1 } })))]),
  );
  const outcomes = await Promise.all(lost);
  const bytes = outcomes.flatMap(keptOf).reduce((sum, value = '') => sum + value.length, 0);
  assert.equal(outcomes.flatMap(keptOf).length, 200 * 8, 'each cell is named');
  assert.ok(bytes > 3 * MIB && bytes <= 4 * MIB, `${bytes} bytes`);
});
