import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import { startDeployment } from './deployment.ts';
import { last, transactionIds } from './look.ts';
import { TodaysClient } from './todays-client.ts';

const MEMORY = { config: { storage: 'memory:' } };

function edits(device: Device, count: number, from = 0): WireChangeSet[] {
  return Array.from({ length: count }, (_, i) => device.write({ pk: [from + i], set: { x: i } }));
}

test('a device that comes back with 1,500 transactions gets all of them in, without an edit', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const [a, b] = [new Device(1), new Device(2)];
  const ben = await TestClient.join(server.wsUrl, b, t);
  const anna = await TodaysClient.join(server.wsUrl, a, t);
  const offline = edits(a, 1500);
  anna.hold(...offline);
  anna.push();
  await anna.quiet();
  assert.deepEqual(transactionIds(await ben.changesSince()), transactionIds(offline));
  assert.deepEqual(
    anna.pushes.map(({ changeSets }) => changeSets.length),
    [1000, 500],
  );
  assert.equal(anna.pushes[1]?.askedAfter, offline[999]?.hlc, 'after the batch’s greatest HLC');
  assert.ok(anna.questions <= 3);
  const [question] = anna.socket.log.filter(({ type }) => type === 'request_changes');
  const ack = anna.socket.log.find(({ type }) => type === 'handshake_ack');
  assert.equal(question?.siteId, ack?.serverSiteId);
});

test('a batch without a requestId has its result without one', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const a = new Device(1);
  const anna = await TodaysClient.join(server.wsUrl, a, t);
  anna.hold(...edits(a, 1200));
  anna.push();
  await anna.quiet();
  assert.deepEqual(
    anna.results.map(({ requestId, applied }) => [requestId, applied]),
    [
      ['apply-1', 1000],
      [undefined, 200],
    ],
  );
});

test('a small batch that brought news is no reason to ask', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const a = new Device(1);
  for (const [size, asks] of [
    [1, 0],
    [499, 0],
    [500, 1],
  ] as const) {
    const anna = await TodaysClient.join(server.wsUrl, a, t);
    const batch = edits(a, size);
    await anna.socket.apply(...batch);
    await anna.socket.settled();
    assert.equal(anna.questions, asks, `${size} changes`);
  }
});

test('a batch that held nothing new is answered with the question for what follows', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const [a, b] = [new Device(1), new Device(2, 1_600_000_000_000)];
  const ben = await TestClient.join(server.wsUrl, b, t);
  const authored = edits(a, 3);
  const old = edits(b, 1, 100);
  await ben.apply(...old);
  const anna = await TestClient.join(server.wsUrl, a, t);
  await anna.apply(...authored);
  await anna.apply(...old);
  const { sinceHLC } = await anna.next('request_changes');
  assert.equal(sinceHLC, last(authored).hlc, 'what Anna wrote up to here is stored already');
  const ofAnother = new Device(3);
  const carla = await TestClient.join(server.wsUrl, ofAnother, t);
  await carla.apply(...old);
  const question = await carla.next('request_changes');
  assert.equal(question.sinceHLC, last(old).hlc, 'of Carla nothing is known: after the batch');
});

test('a bootstrapped device’s one edit arrives at once, though it first pushes back what it got', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const [a, b, c] = [new Device(1), new Device(2), new Device(3)];
  const anna = await TestClient.join(server.wsUrl, a, t);
  await anna.apply(...edits(a, 6000));
  const carla = await TodaysClient.join(server.wsUrl, c, t);
  await carla.bootstrap();
  const ben = await TestClient.join(server.wsUrl, b, t);
  // Its clock has seen the header of the snapshot.
  c.wallTime = Date.now() + 1;
  const edit = c.write({ pk: [1], set: { x: 'mine' } });
  carla.hold(edit);
  carla.push();
  const pushed = await ben.nextPush();
  assert.deepEqual(transactionIds(pushed), [edit.transactionId]);
  await carla.quiet();
  assert.ok(carla.pushes.length <= 3, `${carla.pushes.length} batches, not all it holds`);
});

test('what site got which snapshot is remembered across a restart', async (t) => {
  const dataDir = temporaryDirectory();
  const [a, c] = [new Device(1), new Device(3)];
  const first = await startServer(t, { config: { dataDir } });
  const anna = await TestClient.join(first.wsUrl, a, t);
  const received = edits(a, 5);
  await anna.apply(...received);
  const carla = await TestClient.join(first.wsUrl, c, t);
  const [header] = await carla.snapshot();
  await first.stop();

  const second = await startServer(t, { config: { dataDir } });
  const again = await TestClient.join(second.wsUrl, c, t);
  await again.apply(...received.slice(0, 2));
  assert.equal((await again.next('request_changes')).sinceHLC, header?.hlc);
});

test('the questions come to an end, whatever is pushed back', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const [a, b] = [new Device(1), new Device(2)];
  const anna = await TestClient.join(server.wsUrl, a, t);
  const known = edits(a, 3500);
  await anna.apply(...known);
  // Ben holds it all, changes of his own among it, and never took a snapshot.
  const ben = await TodaysClient.join(server.wsUrl, b, t);
  b.wallTime = a.wallTime - 1000;
  const mixed = edits(b, 40, 10_000);
  ben.hold(...known, ...mixed);
  ben.push();
  await ben.quiet();
  assert.ok(ben.pushes.length <= 5, `${ben.pushes.length} batches`);
  const asked = ben.pushes.flatMap(({ askedAfter }) => askedAfter ?? []);
  assert.deepEqual(asked, [...new Set(asked)].sort(compareHlc), 'each question moves on');
  await anna.settled();
  const stored = new Set(transactionIds(await anna.changesSince()));
  const lost = transactionIds(mixed).filter((id) => !stored.has(id));
  assert.deepEqual(lost, [], 'his own changes all arrived');
});

test('an empty batch, or one of DDL alone, does not start a loop', async (t) => {
  const server = await startDeployment(t, MEMORY);
  const a = new Device(1);
  const anna = await TestClient.join(server.wsUrl, a, t);
  await anna.apply();
  const ddl = a.migrate('create_table', 't');
  await anna.apply(ddl);
  await anna.settled();
  assert.deepEqual(anna.received, []);
  await anna.apply(ddl);
  assert.equal((await anna.next('request_changes')).sinceHLC, ddl.hlc);
});
