import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from '../../src/service/budgets/byte-budget.ts';
import { ArrivedBytes } from '../../src/sessions/arrived-bytes.ts';
import { frameHeader } from '../hostile/raw-socket.ts';

const KIB = 1024;
const PING = 9;

function frame(bytes: number, options?: Parameters<typeof frameHeader>[1]): Buffer {
  return Buffer.concat([frameHeader(bytes, options), Buffer.alloc(bytes, 'x')]);
}

/** The first so many bytes of a frame that is longer. */
function part(bytes: number): Buffer {
  return frame(1000 * KIB).subarray(0, bytes);
}

/** All but a little, which pieces cost beside their bytes. */
function assertHeld(budget: ByteBudget, bytes: number): void {
  const isSo = budget.held >= bytes - 4 * KIB && budget.held <= bytes + 4 * KIB;
  assert.ok(isSo, `${budget.held} bytes are held, not ${bytes}`);
}

function setUp() {
  const budget = new ByteBudget({
    total: { limit: 'limits.bytesInFlight', bytes: 256 * KIB },
    perClient: { limit: 'limits.bytesInFlightPerClient', bytes: 256 * KIB },
    onLimit: () => undefined,
  });
  const socket = (client: string) => {
    const did: string[] = [];
    const arrived = new ArrivedBytes(budget, 1000, {
      holder: client,
      pause: () => did.push('pause'),
      roomAgain: () => did.push('resume'),
      refuseUnread: ({ code }) => did.push(code),
    });
    return { arrived, did };
  };
  return { budget, socket };
}

test('small messages hold nothing of the budget, however many follow one another', () => {
  const { budget, socket } = setUp();
  const { arrived, did } = socket('a');
  const cut = frame(2000);
  const taken = () => {
    arrived.completed(990);
    arrived.taken(990);
  };
  for (let i = 0; i < 10_000; i++) {
    // One and a half at once, and the other half.
    arrived.read(Buffer.concat([frame(990), cut.subarray(0, 1000)]));
    taken();
    arrived.read(cut.subarray(1000));
    taken();
  }
  assert.deepEqual([budget.held, did], [0, []]);
});

test('pings and pongs add up to nothing, and hide nothing of a message between them', () => {
  const { budget, socket } = setUp();
  const { arrived } = socket('a');
  const ping = frame(100, { opcode: PING });
  for (let i = 0; i < 10_000; i++) {
    arrived.read(ping.subarray(0, 3));
    arrived.read(ping.subarray(3));
  }
  assert.equal(budget.held, 0);
  for (let i = 0; i < 4; i++) {
    arrived.read(frame(60 * KIB, { opcode: i === 0 ? 1 : 0, fin: false }));
    arrived.read(frame(0, { opcode: PING }));
  }
  assertHeld(budget, 240 * KIB);
});

test('what a message is kept as is counted: each piece and frame of it, and all that came with them', () => {
  const count = 100;
  const tiny = { opcode: 0, fin: false };
  const [frames, pieces, beside] = [setUp(), setUp(), setUp()];
  const inFrames = frames.socket('a').arrived;
  inFrames.read(Buffer.concat(Array.from({ length: count }, () => frame(1, tiny))));
  const inPieces = pieces.socket('a').arrived;
  for (let i = 0; i < count; i++) inPieces.read(part(count).subarray(i, i + 1));
  const besidePings = beside.socket('a').arrived;
  besidePings.read(
    Buffer.concat([...Array(400).fill(frame(100, { opcode: PING })), frame(1, tiny)]),
  );
  for (const { budget } of [frames, pieces]) {
    assert.ok(budget.held >= count * 80, `${budget.held} for ${count}`);
  }
  assert.ok(beside.budget.held >= 400 * 100 - 4 * KIB, `${beside.budget.held}`);
});

test('a message in tiny frames is refused, whether there is room or not, and holds nothing', () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  const tiny = Buffer.concat(Array(200).fill(frame(1, { opcode: 0, fin: false })));
  first.arrived.read(tiny);
  second.arrived.read(frame(10));
  assert.deepEqual([first.did, second.did], [[], []]);
  assert.ok(budget.held > 0);
  for (let i = 0; i < 10; i++) first.arrived.read(tiny);
  assert.deepEqual([first.did, second.did, budget.held], [['MESSAGE_ERROR'], [], 0]);
});

test('where there is no room a socket is paused, and read again once there is', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  first.arrived.read(frame(192 * KIB));
  first.arrived.completed(192 * KIB);
  second.arrived.read(part(128 * KIB));
  assert.deepEqual([first.did, second.did], [[], ['pause']]);
  assert.ok(second.arrived.isFull);
  first.arrived.taken(192 * KIB);
  await new Promise(setImmediate);
  assert.deepEqual(second.did, ['pause', 'resume']);
  assertHeld(budget, 128 * KIB);
  second.arrived.close();
  assert.equal(budget.held, 0);
});

test('one that has gone while it waited holds nothing', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  first.arrived.read(part(256 * KIB - 1));
  second.arrived.read(part(128 * KIB));
  second.arrived.close();
  first.arrived.close();
  await new Promise(setImmediate);
  assert.deepEqual([second.did, budget.held], [['pause'], 0]);
});

test('of several that fill the room together one goes on, and then the others', async () => {
  const { budget, socket } = setUp();
  const [first, second] = [socket('a'), socket('b')];
  const whole = frame(192 * KIB);
  first.arrived.read(whole.subarray(0, 120 * KIB));
  second.arrived.read(part(120 * KIB));
  first.arrived.read(whole.subarray(120 * KIB, 180 * KIB));
  second.arrived.read(part(60 * KIB));
  assert.deepEqual([first.did, second.did], [[], ['pause']]);
  first.arrived.read(whole.subarray(180 * KIB));
  first.arrived.completed(192 * KIB);
  first.arrived.taken(192 * KIB);
  await new Promise(setImmediate);
  assert.deepEqual(second.did, ['pause', 'resume']);
  assertHeld(budget, 180 * KIB);
});

test('what takes too long to be whole is given up, however little it is', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { socket } = setUp();
  const [little, half, ping, whole, next] = ['a', 'b', 'c', 'd', 'e'].map(socket);
  little?.arrived.read(part(1));
  half?.arrived.read(frame(1, { fin: false }));
  ping?.arrived.read(frame(100, { opcode: PING }).subarray(0, 50));
  whole?.arrived.read(part(64 * KIB));
  whole?.arrived.read(frame(1000 * KIB).subarray(64 * KIB));
  next?.arrived.read(part(10));
  t.mock.timers.tick(999);
  // The one is whole in time, and the other has just begun.
  next?.arrived.read(Buffer.concat([frame(1000 * KIB).subarray(10), part(10)]));
  t.mock.timers.tick(1);
  const timedOut = [['REQUEST_TIMEOUT'], ['REQUEST_TIMEOUT'], ['REQUEST_TIMEOUT'], [], []];
  assert.deepEqual(
    [little, half, ping, whole, next].map((it) =>
      it?.did.filter((what) => what === 'REQUEST_TIMEOUT'),
    ),
    timedOut,
  );
  t.mock.timers.tick(999);
  assert.ok(next?.did.includes('REQUEST_TIMEOUT'));
});
