import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LimitName } from '../../src/errors/limit-names.ts';
import { MemoryBudgets } from '../../src/service/memory-budgets.ts';

const KIB = 1024;

function createBudgets() {
  const met = new Set<LimitName>();
  const limits = {
    ...{ bytesInFlight: 100 * KIB, bytesInFlightPerClient: 50 * KIB, pageBytes: KIB },
    ...{ answerBytes: 100 * KIB, answerBytesPerClient: 25 * KIB, sharePerUser: 75 },
  };
  return { met, memory: new MemoryBudgets(limits, (limit) => met.add(limit)) };
}

test('what hooks read in the calls of one user leaves the others their share', async () => {
  const { met, memory } = createBudgets();
  const [anna, ben] = [memory.hookMemory('user anna'), memory.hookMemory('user ben')];
  const first = await anna.reserve(70 * KIB);
  let hasMore = false;
  const waiting = anna.reserve(10 * KIB).finally(() => {
    hasMore = true;
  });
  assert.deepEqual([...met], ['limits.sharePerUser']);
  const bens = await ben.reserve(20 * KIB);
  assert.ok(!hasMore);
  first.give();
  for (const room of [bens, await waiting]) room.give();
  assert.equal(memory.hookReads.held, 0);
});

test('few rows of unknown length are read at once, by all snapshots and hooks together', async () => {
  const { memory } = createBudgets();
  const gates: (() => void)[] = [];
  const reading = Array.from({ length: 10 }, () =>
    memory.rowReads(() => new Promise<void>((resolve) => gates.push(resolve))),
  );
  await new Promise(setImmediate);
  assert.equal(gates.length, 4);
  for (let ended = 0; ended < reading.length; ended++) {
    gates[ended]?.();
    await new Promise(setImmediate);
  }
  await Promise.all(reading);
});
