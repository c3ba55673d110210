import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { ByteBudget } from '../../src/service/budgets/byte-budget.ts';
import { ArrivedBytes } from '../../src/sessions/arrived-bytes.ts';
import { MessageInflater } from '../../src/sessions/message-inflater.ts';
import { frameHeader } from '../hostile/raw-socket.ts';
import { aMoment } from '../support/moment.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function deflated(text: string): Buffer {
  return deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
}

/** The inflater of a socket, what is read from which is told to `arrived` as well. */
function setUp({ totalBytes = 16 * MIB } = {}) {
  const bound = { limit: 'limits.bytesInFlight', bytes: totalBytes } as const;
  const budget = new ByteBudget({ total: bound, perClient: bound, onLimit: () => undefined });
  const socket = () => {
    const refused: string[] = [];
    const refuse = ({ code }: { code: string }) => refused.push(code);
    const nothing = () => undefined;
    const arrived = new ArrivedBytes(budget, 1000, {
      holder: 'anna',
      pause: nothing,
      roomAgain: nothing,
      refuseUnread: refuse,
    });
    const state = { isReady: true, bytesMax: 4 * MIB };
    const inflater = new MessageInflater({
      arrived,
      isReady: () => state.isReady,
      max: () => ({ limit: 'limits.messageBytes', bytes: state.bytesMax }),
      refuse,
    });
    /** Resolves as `ws` is told. */
    const inflate = (data: Buffer, isLast = true) => {
      arrived.read(Buffer.concat([frameHeader(data.length, { rsv1: true, fin: isLast }), data]));
      return new Promise<string>((resolve, reject) => {
        inflater.decompress(data, isLast, (error, text) =>
          error === null ? resolve(String(text)) : reject(error),
        );
      });
    };
    return { arrived, inflater, inflate, state, refused };
  };
  return { budget, socket };
}

test('a message is inflated, short or long, and an end of it that was not sent is added', async () => {
  const { budget, socket } = setUp();
  const { inflate, arrived } = socket();
  for (const length of [0, 1, 1000, 64 * KIB, 64 * KIB + 1, 4 * MIB]) {
    const text = 'x'.repeat(length);
    assert.ok((await inflate(deflated(text))) === text, `${length} bytes`);
    arrived.completed(length);
    arrived.taken(length);
  }
  assert.ok((await inflate(deflateRawSync('with a last block'))) === 'with a last block');
  arrived.completed(17);
  arrived.taken(17);
  assert.equal(budget.held, 0);
});

test('`ws` is never answered at once, or it would go deeper for each message of a piece', () => {
  const { socket } = setUp();
  const { inflater } = socket();
  let answers = 0;
  inflater.decompress(deflated('{}'), true, () => answers++);
  inflater.decompress(deflated('{}'), false, () => answers++);
  assert.equal(answers, 0);
});

test('what waits until the connection is ready is counted as it arrived, and holds nothing more', async () => {
  const { budget, socket } = setUp();
  const { inflate, inflater, state, arrived } = socket();
  state.isReady = false;
  const noise = deflated(Array.from({ length: 20_000 }, () => Math.random()).join());
  const waiting = inflate(noise);
  await nextTurn();
  assert.ok(budget.held > noise.length - 4 * KIB && budget.held <= noise.length, `${budget.held}`);
  state.isReady = true;
  inflater.goOn();
  const { length } = await waiting;
  arrived.completed(length);
  assert.ok(budget.held > length - 4 * KIB && budget.held <= length, `${budget.held}, ${length}`);
  arrived.taken(length);
  assert.equal(budget.held, 0);
});

test('too long, or not deflated, refuses the client, and `ws` is answered when the socket has closed', async () => {
  for (const [data, code] of [
    [deflated('x'.repeat(4 * MIB + 1)), 'TOO_LARGE'],
    [deflated('x'.repeat(100 * MIB)).subarray(0, 1000), 'TOO_LARGE'],
    [Buffer.alloc(10, 0xff), 'MESSAGE_ERROR'],
    [Buffer.alloc(10_000, 0xff), 'MESSAGE_ERROR'],
  ] as const) {
    const { budget, socket } = setUp();
    const { inflate, inflater, state, refused } = socket();
    if (data.length < 4 * KIB) state.bytesMax = 32 * KIB;
    const answer = inflate(data);
    while (refused.length === 0) await aMoment();
    assert.deepEqual(refused, [code]);
    inflater.close();
    await assert.rejects(answer, /the socket has closed/);
    await assert.rejects(inflate(deflated('{}')), /the socket has closed/);
    assert.equal(budget.held, 0);
  }
});

test('many at once take turns where there is not room for all, and those that close give theirs back', async () => {
  const { budget, socket } = setUp({ totalBytes: 8 * MIB });
  const sockets = Array.from({ length: 20 }, () => socket());
  const bomb = deflated('x'.repeat(4 * MIB));
  let peak = 0;
  const inflations = sockets.map(async ({ inflate, arrived, inflater }, i) => {
    const inflated = inflate(bomb);
    if (i % 4 === 3) {
      for (let turn = 0; turn < i; turn++) await nextTurn();
      inflater.close();
      await inflated.catch(() => undefined);
      return;
    }
    const { length } = await inflated;
    arrived.completed(length);
    peak = Math.max(peak, budget.held);
    arrived.taken(length);
  });
  await Promise.all(inflations);
  assert.ok(peak <= 8 * MIB + 4 * MIB, `${peak} bytes`);
  for (const { arrived, refused } of sockets) {
    assert.deepEqual(refused, []);
    arrived.close();
  }
  assert.equal(budget.held, 0);
});
