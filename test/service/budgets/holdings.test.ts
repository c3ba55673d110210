import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ByteBudget } from '../../../src/service/budgets/byte-budget.ts';

const LOOK_MS = 500;

/** Of 100 bytes; 25 more are kept for clients that hold 12 at most. */
function budget(t: TestContext, perClient = 100) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const bound = { limit: 'limits.answerBytes', bytes: 100 } as const;
  const own = { limit: 'limits.answerBytesPerClient', bytes: perClient } as const;
  return new ByteBudget({ total: bound, perClient: own, onLimit: () => undefined });
}

/** Whoever gives way, in order. */
const gone: string[] = [];

class Peer {
  bytes = 0;
  isAwaited = true;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  moved() {
    return this.bytes;
  }

  giveWay() {
    gone.push(this.#name);
  }
}

async function hold(budget: ByteBudget, client: string, bytes: number): Promise<Peer> {
  const peer = new Peer(client);
  await budget.reserve(client, bytes, peer);
  return peer;
}

/** @param move what the peers do between two looks */
function look(t: TestContext, times: number, move = () => {}) {
  for (let i = 0; i < times; i++) {
    move();
    t.mock.timers.tick(LOOK_MS);
  }
}

test('whose peer does not get on gives way, of those in the way who holds most', async (t) => {
  gone.length = 0;
  const bytes = budget(t);
  await hold(bytes, 'much', 100);
  await hold(bytes, 'a', 8);
  await hold(bytes, 'b', 11);
  const c = await hold(bytes, 'c', 6);
  const room = bytes.take('little', 2);
  look(t, 3);
  assert.deepEqual(gone, []);
  look(t, 1);
  await room;
  assert.deepEqual(gone, ['b']);
  // What is given back once is not given back again.
  assert.equal(bytes.held, 100 + 8 + 6 + 2);
  // Known by now, so nobody waits; and nobody gives way to who would have as much as it.
  bytes.take('d', 9);
  await bytes.take('e', 7);
  assert.deepEqual(gone, ['b', 'a']);
  const late = bytes.take('f', 12);
  late?.catch(() => undefined);
  look(t, 4, () => {
    c.bytes++;
  });
  assert.deepEqual(gone, ['b', 'a']);
});

test('who gets on, or waits for this side, does not give way, unless others have waited for long', async (t) => {
  gone.length = 0;
  const bytes = budget(t);
  await hold(bytes, 'much', 100);
  const reader = await hold(bytes, 'reader', 12);
  const waiting = await hold(bytes, 'waiting', 11);
  waiting.isAwaited = false;
  const room = bytes.take('little', 3);
  const move = () => {
    reader.bytes += 1;
  };
  look(t, 9, move);
  assert.deepEqual(gone, []);
  look(t, 1, move);
  await room;
  assert.deepEqual(gone, ['reader']);
});

test('who wants much has those give way that hold much and stand still, and nobody that gets on', async (t) => {
  gone.length = 0;
  const bytes = budget(t);
  const reader = await hold(bytes, 'reader', 45);
  await hold(bytes, 'still', 50);
  await hold(bytes, 'little', 12);
  const room = bytes.take('next', 20);
  look(t, 4, () => {
    reader.bytes += 2;
  });
  await room;
  assert.deepEqual(gone, ['still']);
  const late = bytes.take('another', 40);
  late?.catch(() => undefined);
  look(t, 12, () => {
    reader.bytes += 2;
  });
  assert.deepEqual(gone, ['still']);
});

test('who waits for as much as the others hold is not in the way of who wants less', async (t) => {
  gone.length = 0;
  const bytes = budget(t);
  await hold(bytes, 'much', 100);
  await hold(bytes, 'a', 9);
  await hold(bytes, 'a', 3);
  await hold(bytes, 'b', 12);
  look(t, 4);
  const greedy = bytes.take('greedy', 12);
  assert.ok(greedy);
  await bytes.take('little', 3);
  assert.deepEqual(gone, ['b']);
});

test('nobody gives way to who waits for its own share', async (t) => {
  gone.length = 0;
  const bytes = budget(t, 11);
  await hold(bytes, 'much', 100);
  await hold(bytes, 'a', 8);
  await hold(bytes, 'b', 10);
  bytes.take('own', 5);
  look(t, 4);
  bytes.take('own', 7)?.catch(() => undefined);
  assert.deepEqual(gone, []);
  await bytes.take('little', 4);
  assert.deepEqual(gone, ['b']);
});
