import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';
import { transactionIds } from './look.ts';

const MIB = 1024 * 1024;

async function start(t: TestContext, limits: CoordinatorConfigInput['limits'] = {}) {
  const server = await startServer(t, { config: { storage: 'memory:', limits } });
  const join = (device: Device) => TestClient.join(server.wsUrl, device, t);
  return { server, join };
}

function received(client: TestClient): string[] {
  const messages = client.log.filter(({ type }) => type === 'push_changes');
  return messages.flatMap((message) => transactionIds((message as ChangeSetsMessage).changeSets));
}

test('a message larger than limits.messageBytes closes its socket with 1009, and only that', async (t) => {
  const { join } = await start(t, { messageBytes: 10_000 });
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const fits = a.write({ pk: [1], set: { x: 'x'.repeat(9000) } });
  assert.equal((await anna.apply(fits)).applied, 1);
  anna.send({
    type: 'apply_changes',
    changes: [a.write({ pk: [1], set: { x: 'x'.repeat(10_000) } })],
  });
  assert.equal((await anna.closed).code, 1009);
  await ben.nextPush();
  await ben.settled();
});

test('more changes than limits.changesPerBatch are refused, and the session goes on', async (t) => {
  const { server } = await start(t, { changesPerBatch: 3 });
  const a = new Device(1);
  const anna = await TestClient.join(server.wsUrl, a, t);
  const rows = Array.from({ length: 4 }, (_, i) => ({ pk: [i], set: { x: 1 } }));
  const refused = await anna.apply(a.write(...rows));
  assert.deepEqual([refused.type, refused.code, refused.fatal], ['error', 'TOO_LARGE', false]);
  assert.equal((await anna.apply(a.write(...rows.slice(1)))).applied, 3);
});

/** Transactions that together are far more than a socket's buffers hold. */
async function writeMuch(client: TestClient, device: Device): Promise<string[]> {
  const sent: string[] = [];
  for (let i = 0; i < 24; i++) {
    const changeSet = device.write({ pk: [i], set: { x: 'x'.repeat(MIB) } });
    await client.apply(changeSet);
    sent.push(changeSet.transactionId);
  }
  return sent;
}

test('a socket that takes nothing is closed with 1013; the others do not notice', async (t) => {
  const { server, join } = await start(t, { stalledMs: 500, queuedBytesPerSocket: MIB });
  const a = new Device(1);
  const anna = await join(a);
  const [stalled, reading] = [await join(new Device(2)), await join(new Device(3))];
  const { socketsStalled } = server.service.metrics;
  stalled.socket.pause();
  const writing = writeMuch(anna, a);
  const count = async () => (await socketsStalled.get()).values[0]?.value ?? 0;
  while ((await count()) === 0) await aMoment();
  // It reads again, before its grace is over, and finds what was queued, and then the reason.
  stalled.socket.resume();
  assert.equal((await stalled.closed).code, 1013);
  const sent = await writing;
  while (received(reading).length < sent.length) await reading.nextPush();
  assert.deepEqual(received(reading), sent);
  await anna.settled();
});

test('a socket that is slow but takes something keeps its session and misses nothing', async (t) => {
  const { server, join } = await start(t, { stalledMs: 60_000, queuedBytesPerSocket: MIB });
  const a = new Device(1);
  const [anna, slow] = [await join(a), await join(new Device(2))];
  slow.socket.pause();
  const sent = await writeMuch(anna, a);
  assert.ok(server.service.queuedBytes() < 8 * MIB, 'what it does not take is not kept for it');
  slow.socket.resume();
  while (received(slow).length < sent.length) await slow.nextPush();
  assert.deepEqual(received(slow), sent);
});

test('a stopping server closes sockets with 1001, after what they sent was stored', async (t) => {
  const { server, join } = await start(t);
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const unknown = await TestClient.open(server.wsUrl);
  const applied = anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  await ben.nextPush();
  const stopped = server.stop();
  assert.equal((await applied).applied, 1);
  for (const client of [anna, ben, unknown]) {
    assert.equal((await client.closed).code, 1001);
    const fatal = client.log.filter((message) => message.fatal === true);
    assert.deepEqual(fatal, []);
  }
  await stopped;
});

test('a silent peer does not hold up the end', async (t) => {
  const { server, join } = await start(t, { shutdownMs: 200 });
  const client = await join(new Device(1));
  client.socket.pause();
  await server.stop();
  client.socket.resume();
  await client.closed;
});
