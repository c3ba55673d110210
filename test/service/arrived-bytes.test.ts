import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArrivedBytes } from '../../src/service/arrived-bytes.ts';
import { ByteBudget } from '../../src/service/byte-budget.ts';

const KIB = 1024;

function setUp() {
  const budget = new ByteBudget({
    total: { limit: 'limits.bytesInFlight', bytes: 256 * KIB },
    perClient: { limit: 'limits.bytesInFlightPerClient', bytes: 256 * KIB },
    onLimit: () => undefined,
  });
  const socket = (client: string) => {
    const did: string[] = [];
    const arrived = new ArrivedBytes({
      budget,
      client: () => client,
      timeoutMs: 1000,
      pause: () => did.push('pause'),
      resume: () => did.push('resume'),
      refuse: ({ code }) => did.push(code),
    });
    return { arrived, did };
  };
  return { budget, socket };
}

test('small messages hold nothing of the budget, however many follow one another', () => {
  const { budget, socket } = setUp();
  const { arrived, did } = socket('a');
  for (let i = 0; i < 10_000; i++) {
    arrived.read(1000);
    arrived.completed(990);
    arrived.taken(990);
  }
  assert.deepEqual([budget.held, did], [0, []]);
});

test('pings and pongs add up to nothing, and hide nothing of a message between them', () => {
  const { budget, socket } = setUp();
  const { arrived } = socket('a');
  for (let i = 0; i < 10_000; i++) {
    arrived.read(106);
    arrived.passed(100);
  }
  assert.equal(budget.held, 0);
  for (let i = 0; i < 4; i++) {
    arrived.read(64 * KIB);
    arrived.read(6);
    arrived.passed(0);
  }
  assert.equal(budget.held, 256 * KIB);
});

test('where there is no room a socket is paused, and read again once there is', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  first.arrived.read(192 * KIB);
  second.arrived.read(128 * KIB);
  assert.deepEqual([first.did, second.did], [[], ['pause']]);
  assert.ok(second.arrived.isFull);
  first.arrived.completed(192 * KIB);
  first.arrived.taken(192 * KIB);
  await new Promise(setImmediate);
  assert.deepEqual([second.did, budget.held], [['pause', 'resume'], 128 * KIB]);
  second.arrived.close();
  assert.equal(budget.held, 0);
});

test('one that has gone while it waited holds nothing', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  first.arrived.read(256 * KIB);
  second.arrived.read(128 * KIB);
  second.arrived.close();
  first.arrived.close();
  await new Promise(setImmediate);
  assert.deepEqual([second.did, budget.held], [['pause'], 0]);
});

test('of several that fill the room together one goes on, and then the others', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  first.arrived.read(128 * KIB);
  second.arrived.read(128 * KIB);
  first.arrived.read(64 * KIB);
  second.arrived.read(64 * KIB);
  assert.deepEqual([first.did, second.did], [[], ['pause']]);
  first.arrived.completed(192 * KIB);
  first.arrived.taken(192 * KIB);
  await new Promise(setImmediate);
  assert.deepEqual([second.did, budget.held], [['pause', 'resume'], 192 * KIB]);
});

test('a message that takes too long to arrive is given up, one that is whole is not', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { socket } = setUp();
  const [slow, whole] = [socket('a'), socket('b')];
  slow.arrived.read(64 * KIB);
  whole.arrived.read(64 * KIB);
  whole.arrived.completed(64 * KIB);
  t.mock.timers.tick(1000);
  assert.deepEqual([slow.did, whole.did], [['REQUEST_TIMEOUT'], []]);
});
