import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from '../../../src/service/budgets/byte-budget.ts';

/** Beyond 100 there is a quarter for clients that hold little: 12 at most. */
function budget() {
  const met: string[] = [];
  const bytes = new ByteBudget({
    total: { limit: 'limits.bytesInFlight', bytes: 100 },
    perClient: { limit: 'limits.bytesInFlightPerClient', bytes: 60 },
    onLimit: (limit) => met.push(limit),
  });
  return { bytes, met };
}

/** Which of these have been given what they wait for; some wait longer than their test lasts. */
function watch(...waiting: (Promise<void> | undefined)[]): { got: number[] } {
  const got: number[] = [];
  for (const [i, room] of waiting.entries())
    room?.then(
      () => got.push(i),
      () => undefined,
    );
  return { got };
}

const settled = () => new Promise(setImmediate);

test('what is there is taken at once, and can be taken again when it was given back', () => {
  const { bytes, met } = budget();
  assert.equal(bytes.take('a', 60), undefined);
  assert.equal(bytes.take('b', 40), undefined);
  assert.equal(bytes.take('c', 12), undefined);
  assert.equal(bytes.take('d', 12), undefined);
  assert.equal(bytes.held, 124);
  bytes.give('a', 60);
  assert.equal(bytes.take('b', 20), undefined);
  assert.deepEqual(met, []);
});

test('a client waits for its own share, and others pass it by', async () => {
  const { bytes, met } = budget();
  bytes.take('a', 50);
  const waiting = watch(bytes.take('a', 20));
  assert.equal(bytes.take('b', 15), undefined);
  assert.equal(met[0], 'limits.bytesInFlightPerClient');
  await settled();
  assert.deepEqual(waiting.got, []);
  bytes.give('a', 50);
  await settled();
  assert.deepEqual(waiting.got, [0]);
});

test('who waits for much is overtaken by nobody who wants much, and by others only so far', async () => {
  const { bytes, met } = budget();
  bytes.take('a', 60);
  const waiting = [bytes.take('c', 50), bytes.take('d', 20)];
  assert.deepEqual(met, ['limits.bytesInFlight', 'limits.bytesInFlight']);
  assert.equal(bytes.take('e', 10), undefined);
  assert.equal(bytes.take('f', 10), undefined);
  // More than is kept for these.
  waiting.push(bytes.take('g', 10));
  const { got } = watch(...waiting);
  await settled();
  assert.deepEqual(got, []);
  bytes.give('a', 60);
  await settled();
  assert.deepEqual([got, bytes.held], [[0, 1, 2], 100]);
});

test('who asks for more than all again and again holds up nobody who wants little', async () => {
  const { bytes } = budget();
  bytes.take('slow', 10);
  // It is served beside what is kept for others, however slow they are.
  assert.equal(bytes.take('greedy', 1000), undefined);
  const { got } = watch(bytes.take('greedy', 1000), bytes.take('greedier', 1000));
  for (let i = 0; i < 100; i++) {
    assert.equal(bytes.take('honest', 12), undefined);
    bytes.give('honest', 12);
  }
  bytes.give('greedy', 1000);
  await settled();
  assert.deepEqual(got, [0]);
  assert.equal(bytes.take('honest', 12), undefined);
});

test('who holds much by many small requests takes nothing of what is kept for others', () => {
  const { bytes } = budget();
  while (bytes.hasRoom('greedy', 1)) bytes.take('greedy', 1);
  while (bytes.hasRoom('greedier', 1)) bytes.take('greedier', 1);
  assert.equal(bytes.held, 100);
  assert.equal(bytes.take('honest', 12), undefined);
  assert.equal(bytes.take('honester', 12), undefined);
});

test('what is larger than the whole gets its turn, beside nobody who holds much', async () => {
  const { bytes } = budget();
  assert.equal(bytes.take('a', 1000), undefined);
  const waiting = watch(bytes.take('b', 500), bytes.take('c', 20));
  bytes.give('a', 1000);
  await settled();
  assert.deepEqual([waiting.got, bytes.held], [[0], 500]);
  bytes.give('b', 500);
  await settled();
  assert.deepEqual([waiting.got, bytes.held], [[0, 1], 20]);
});

test('of owners that all need more to finish one at a time gets it, the next one when it has ended', async () => {
  const { bytes } = budget();
  const [anna, ben, carl] = [{}, {}, {}];
  for (const client of ['a', 'b', 'c']) bytes.take(client, 33);
  assert.equal(bytes.take('a', 40, anna), undefined);
  const waiting = watch(bytes.take('b', 40, ben), bytes.take('c', 40, carl));
  // What it has taken beyond the others' is all that it gives back.
  bytes.ended(anna);
  bytes.give('a', 73);
  // Has no room, now or later.
  bytes.take('d', 33)?.catch(() => undefined);
  await settled();
  assert.deepEqual(waiting.got, [0]);
  bytes.ended(carl);
  await settled();
  assert.deepEqual(waiting.got, [0]);
  bytes.ended(ben);
  await settled();
  assert.deepEqual(waiting.got, [0, 1]);
});

test('what turned out to need less makes room for the others', async () => {
  const { bytes } = budget();
  bytes.take('a', 60);
  bytes.take('b', 30);
  const waiting = watch(bytes.take('c', 30));
  bytes.adjust('b', 30, 5);
  await settled();
  assert.deepEqual(waiting.got, [0]);
});

test('who waits for too long is told to come back, holds nothing, and holds up nobody more', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { bytes } = budget();
  bytes.take('a', 90);
  const refused = assert.rejects(Promise.resolve(bytes.take('b', 30)), {
    code: 'OVERLOADED',
    limit: 'limits.bytesInFlight',
  });
  t.mock.timers.tick(10_000);
  await refused;
  bytes.give('a', 90);
  assert.equal(bytes.held, 0);
  assert.equal(bytes.take('c', 30), undefined);
});
