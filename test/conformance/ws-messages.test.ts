import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../src/testing/test-client.ts';
import { VECTORS } from '../wire/vectors.ts';
import { startDeployment } from './deployment.ts';
import { changesIn, transactionIds } from './look.ts';

async function join(t: TestContext, limits: { pageBytes?: number } = {}) {
  const server = await startDeployment(t, { config: { storage: 'memory:', limits } });
  const [a, b] = [new Device(1), new Device(2)];
  const anna = await TestClient.join(server.wsUrl, a, t);
  const ben = await TestClient.join(server.wsUrl, b, t);
  return { server, a, b, anna, ben };
}

const HLC = new Device(1).hlc(1);
const CHANGE = {
  type: 'column',
  schema: 's',
  table: 't',
  pk: [1],
  column: 'c',
  value: 1,
  hlc: HLC,
};
const SET = { siteId: new Device(1).siteId, transactionId: '', hlc: HLC, changes: [CHANGE] };

/** What a client might send by mistake: the code of the answer, and the place it must name. */
const BAD: [code: string, place: string, message: object][] = [
  ['UNKNOWN_MESSAGE', 'sing', { type: 'sing' }],
  ['UNKNOWN_MESSAGE', 'handshake_ack', { type: 'handshake_ack' }],
  ['UNKNOWN_MESSAGE', 'constructor', { type: 'constructor' }],
  ['MESSAGE_ERROR', 'type', {}],
  ['MESSAGE_ERROR', 'type', { type: null }],
  ['MESSAGE_ERROR', 'sinceHLC', { type: 'get_changes', sinceHLC: 7 }],
  ['MESSAGE_ERROR', 'changes', { type: 'apply_changes' }],
  ['MESSAGE_ERROR', 'changes[1]', { type: 'apply_changes', changes: [SET, 7] }],
  [
    'MESSAGE_ERROR',
    'changes[0].changes[1].hlc',
    { type: 'apply_changes', changes: [{ ...SET, changes: [CHANGE, { ...CHANGE, hlc: '' }] }] },
  ],
  [
    'MESSAGE_ERROR',
    'changes[0].changes[0].value',
    { type: 'apply_changes', changes: [{ ...SET, changes: [{ ...CHANGE, value: { __bin: 1 } }] }] },
  ],
  ['MESSAGE_ERROR', 'checkpoint', { type: 'resume_snapshot', checkpoint: 'whole' }],
  [
    'MESSAGE_ERROR',
    'checkpoint.siteId',
    { type: 'resume_snapshot', checkpoint: { ...VECTORS.checkpoint, siteId: 1 } },
  ],
];

test('a bad message is answered with its place and its requestId, and disturbs nobody', async (t) => {
  const { a, anna, ben } = await join(t);
  for (const [i, [code, place, message]] of BAD.entries()) {
    const requestId = `request ${i}`;
    anna.send({ ...message, requestId });
    const told = await anna.next('error');
    assert.deepEqual([told.code, told.fatal], [code, false], JSON.stringify(message));
    assert.equal(told.requestId, requestId);
    assert.ok(String(told.message).includes(place), `${place} in ${told.message}`);
  }
  const good = a.write({ pk: [1], set: { x: 1 } });
  assert.equal((await anna.apply(good)).applied, 1);
  assert.deepEqual(transactionIds(await ben.nextPush()), [good.transactionId]);
  assert.deepEqual(
    ben.log.filter(({ type }) => type === 'error'),
    [],
  );
});

test('what is no message at all is answered, and the session goes on', async (t) => {
  const { a, anna, ben } = await join(t);
  const texts = [
    '',
    '{',
    'ping',
    'null',
    '7',
    '"ping"',
    '[]',
    '[{"type":"ping"}]',
    '{"type":"ping"',
  ];
  for (const text of texts) {
    anna.socket.send(text);
    const { code, fatal } = await anna.next('error');
    assert.deepEqual([code, fatal], ['MESSAGE_ERROR', false], text);
  }
  for (const bytes of [Buffer.alloc(0), Buffer.from('{"type":"ping"}'), Buffer.from([0xff, 0])]) {
    anna.socket.send(bytes, { binary: true });
    const { code, fatal } = await anna.next('error');
    assert.deepEqual([code, fatal], ['MESSAGE_ERROR', false], 'a binary frame');
  }
  assert.equal((await anna.apply(a.write({ pk: [1], set: { x: 1 } }))).applied, 1);
  await ben.nextPush();
});

test('a bad message does not disturb those that are under way', async (t) => {
  const { a, anna } = await join(t);
  const batches = Array.from({ length: 20 }, (_, i) => a.write({ pk: [i], set: { x: i } }));
  for (const [i, batch] of batches.entries()) {
    anna.send({ type: 'apply_changes', changes: [batch], requestId: `good ${i}` });
    anna.socket.send('garbage');
    anna.send({ type: 'apply_changes', changes: [{}], requestId: `bad ${i}` });
  }
  for (const i of batches.keys()) {
    const good = await anna.nextWhere(({ requestId }) => requestId === `good ${i}`);
    assert.deepEqual([good.type, good.applied], ['apply_result', 1]);
    const bad = await anna.nextWhere(({ requestId }) => requestId === `bad ${i}`);
    assert.equal(bad.code, 'MESSAGE_ERROR');
  }
});

test('a requestId comes back as it was, whether the answer is good or bad', async (t) => {
  const { anna, a } = await join(t);
  const ids = ['1', '', ' spaces ', 'ünï🚀', '"\\\n', '__proto__', 'x'.repeat(1000)];
  const ahead = new Device(1, Date.now() + 3_600_000).write({ pk: [1], set: { x: 1 } });
  for (const requestId of ids) {
    const changes = [a.write({ pk: [1], set: { x: 1 } })];
    anna.send({ type: 'apply_changes', changes, requestId });
    assert.equal((await anna.next('apply_result')).requestId, requestId);
    anna.send({ type: 'apply_changes', changes: [ahead], requestId });
    const { code, requestId: echoed, fatal } = await anna.next('error');
    assert.deepEqual([code, echoed, fatal], ['CLOCK_DRIFT', requestId, false]);
  }
  anna.send({ type: 'apply_changes', changes: [] });
  assert.equal('requestId' in (await anna.next('apply_result')), false, 'none came, none goes');
});

test('an apply_result has the fields of the result beside its type and its requestId', async (t) => {
  const { anna, a } = await join(t);
  anna.send({
    type: 'apply_changes',
    changes: [a.write({ pk: [1], set: { x: 1 } })],
    requestId: 'r',
  });
  assert.deepEqual(await anna.next('apply_result'), {
    type: 'apply_result',
    requestId: 'r',
    applied: 1,
    skipped: 0,
    conflicts: 0,
    transactions: 1,
  });
});

test('a ping is answered, also beside a long answer', async (t) => {
  const { anna } = await join(t);
  for (let i = 0; i < 3; i++) {
    anna.send({ type: 'ping' });
    assert.deepEqual(await anna.next('pong'), { type: 'pong' });
  }
});

test('get_changes is answered with a message even when there is nothing', async (t) => {
  const { anna } = await join(t);
  anna.send({ type: 'get_changes' });
  assert.deepEqual(await anna.next('changes'), { type: 'changes', changeSets: [], hasMore: false });
  anna.send({ type: 'get_changes', sinceHLC: null });
  assert.deepEqual(await anna.next('changes'), { type: 'changes', changeSets: [], hasMore: false });
});

/** The messages of one answer to `get_changes`, known to hold `count` change sets. */
async function answersTo(client: TestClient, count: number): Promise<WireChangeSet[][]> {
  const messages: WireChangeSet[][] = [];
  while (messages.flat().length < count) {
    messages.push(((await client.next('changes')) as ChangeSetsMessage).changeSets);
  }
  return messages;
}

test('an answer comes as one message where it fits limits.pageBytes, whatever its number', async (t) => {
  const { a, anna, ben } = await join(t);
  const sent = Array.from({ length: 3000 }, (_, i) => a.write({ pk: [i], set: { x: i } }));
  await anna.apply(...sent);
  ben.send({ type: 'get_changes' });
  const [first = [], ...more] = await answersTo(ben, sent.length);
  assert.deepEqual([first.length, more.length], [sent.length, 0]);
});

test('a larger answer comes as several messages of whole transactions, in order', async (t) => {
  const pageBytes = 20_000;
  const { a, anna, ben } = await join(t, { pageBytes });
  const sent = Array.from({ length: 60 }, (_, i) =>
    a.write({ pk: [i], set: { x: 'x'.repeat(i === 30 ? 3 * pageBytes : 1000), y: i } }),
  );
  await anna.apply(...sent);
  ben.send({ type: 'get_changes' });
  const messages = await answersTo(ben, sent.length);
  assert.ok(messages.length > 3);
  assert.deepEqual(transactionIds(messages.flat()), transactionIds(sent));
  assert.deepEqual(changesIn(messages.flat()), changesIn(sent));
  for (const changeSets of messages) {
    const bytes = JSON.stringify(changeSets).length;
    assert.ok(bytes <= pageBytes + 1000 || changeSets.length === 1, `${bytes} bytes`);
  }
  ben.send({ type: 'get_changes', sinceHLC: messages.flat().at(-1)?.hlc });
  assert.deepEqual((await ben.next('changes')).changeSets, []);
});

test('hundreds of messages in one tick are all answered, in the order in which they came', async (t) => {
  const { server } = await join(t);
  const device = new Device(3);
  const client = await TestClient.open(server.wsUrl);
  t.after(() => client.socket.terminate());
  const count = 400;
  client.send({ type: 'handshake', siteId: device.siteId });
  for (let i = 0; i < count; i++) {
    const changes = [device.write({ pk: [i % 7], set: { x: i } })];
    client.send({ type: 'apply_changes', changes, requestId: `${i}` });
  }
  await client.nextWhere(({ requestId }) => requestId === `${count - 1}`);
  const results = client.log.filter(({ type }) => type === 'apply_result');
  assert.deepEqual(
    results.map(({ requestId, applied }) => `${requestId} ${applied}`),
    Array.from({ length: count }, (_, i) => `${i} 1`),
  );
});
