import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from '../../src/service/byte-budget.ts';

function budget() {
  const met: string[] = [];
  const bytes = new ByteBudget({
    total: { limit: 'limits.bytesInFlight', bytes: 100 },
    perClient: { limit: 'limits.bytesInFlightPerClient', bytes: 60 },
    onLimit: (limit) => met.push(limit),
  });
  return { bytes, met };
}

/** Which of these have been given what they wait for. */
function watch(...waiting: (Promise<void> | undefined)[]): { got: number[] } {
  const got: number[] = [];
  for (const [i, room] of waiting.entries()) room?.then(() => got.push(i));
  return { got };
}

const settled = () => new Promise(setImmediate);

test('what is there is taken at once, and can be taken again when it was given back', () => {
  const { bytes, met } = budget();
  assert.equal(bytes.take('a', 60), undefined);
  assert.equal(bytes.take('b', 40), undefined);
  assert.equal(bytes.held, 100);
  bytes.give('a', 60);
  assert.equal(bytes.take('b', 20), undefined);
  assert.deepEqual(met, []);
});

test('a client waits for its own share, and others pass it by', async () => {
  const { bytes, met } = budget();
  bytes.take('a', 50);
  const waiting = watch(bytes.take('a', 20), bytes.take('b', 10));
  await settled();
  assert.deepEqual(waiting.got, [1]);
  assert.equal(met[0], 'limits.bytesInFlightPerClient');
  bytes.give('a', 50);
  await settled();
  assert.deepEqual(waiting.got, [1, 0]);
});

test('who waits for all together is not overtaken by who needs less', async () => {
  const { bytes, met } = budget();
  bytes.take('a', 60);
  bytes.take('b', 30);
  const waiting = watch(bytes.take('c', 50), bytes.take('d', 10));
  await settled();
  assert.deepEqual([waiting.got, met], [[], ['limits.bytesInFlight', 'limits.bytesInFlight']]);
  bytes.give('a', 60);
  await settled();
  assert.deepEqual(waiting.got, [0, 1]);
  assert.equal(bytes.held, 90);
});

test('what is larger than the whole gets its turn, alone', async () => {
  const { bytes } = budget();
  assert.equal(bytes.take('a', 1000), undefined);
  const waiting = watch(bytes.take('b', 500), bytes.take('c', 1));
  bytes.give('a', 1000);
  await settled();
  assert.deepEqual([waiting.got, bytes.held], [[0], 500]);
  bytes.give('b', 500);
  await settled();
  assert.deepEqual([waiting.got, bytes.held], [[0, 1], 1]);
});

test('what turned out to need less makes room for the others', async () => {
  const { bytes } = budget();
  bytes.take('a', 60);
  bytes.take('b', 40);
  const waiting = watch(bytes.take('c', 30));
  bytes.adjust('b', 40, 5);
  await settled();
  assert.deepEqual(waiting.got, [0]);
});

test('who waits for too long is told to come back, and holds nothing', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { bytes } = budget();
  bytes.take('a', 100);
  const refused = assert.rejects(Promise.resolve(bytes.take('b', 10)), {
    code: 'OVERLOADED',
    limit: 'limits.bytesInFlight',
  });
  t.mock.timers.tick(10_000);
  await refused;
  bytes.give('a', 100);
  assert.equal(bytes.held, 0);
});
