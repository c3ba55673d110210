import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../src/testing/test-client.ts';
import { startDeployment } from './deployment.ts';
import { RELAYING } from './each-transport.ts';
import { changesIn, transactionIds } from './look.ts';
import { overHttp } from './transport.ts';

async function start(t: TestContext, config: CoordinatorConfigInput = {}) {
  const server = await startDeployment(t, { config });
  const join = (device: Device, databaseId = 'default') =>
    TestClient.join(server.wsUrl, { siteId: device.siteId, databaseId }, t);
  return { server, join };
}

/** Pushes until `count` change sets have come. */
async function pushed(client: TestClient, count: number): Promise<WireChangeSet[]> {
  const changeSets: WireChangeSet[] = [];
  while (changeSets.length < count) changeSets.push(...(await client.nextPush()));
  return changeSets;
}

function pushesTo(client: TestClient): WireChangeSet[] {
  const messages = client.log.filter(({ type }) => type === 'push_changes');
  return messages.flatMap((message) => (message as ChangeSetsMessage).changeSets);
}

test('a push goes to every other session of the database, and to no other', async (t) => {
  const { join } = await start(t);
  const a = new Device(1);
  const anna = await join(a);
  const others = [await join(new Device(2)), await join(new Device(3))];
  const elsewhere = await join(new Device(4), 'other');
  const sent = [a.migrate('create_table', 't'), a.write({ pk: [1], set: { x: 1 } })];
  await anna.apply(...sent);
  for (const client of others) {
    const received = await pushed(client, 2);
    assert.deepEqual(transactionIds(received), transactionIds(sent));
    assert.deepEqual(changesIn(received), changesIn(sent));
  }
  for (const client of [anna, elsewhere]) {
    await client.settled();
    assert.deepEqual(pushesTo(client), []);
  }
});

test('what arrives over HTTP is pushed as well', async (t) => {
  const { server, join } = await start(t);
  const a = new Device(1);
  const ben = await join(new Device(2));
  const sent = a.write({ pk: [1], set: { x: 1 } });
  await (await overHttp(server, a, t)).apply(sent);
  assert.deepEqual(transactionIds(await ben.nextPush()), [sent.transactionId]);
});

test('what changes nothing is not pushed', async (t) => {
  const { join } = await start(t);
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const first = a.write({ pk: [1], set: { x: 1 } });
  await anna.apply(first);
  await anna.apply(first);
  const second = a.write({ pk: [1], set: { x: 2 } });
  await anna.apply(first, second);
  const received = await pushed(ben, 2);
  assert.deepEqual(transactionIds(received), transactionIds([first, second]));
});

test('every session gets all pushes, in position order, whoever writes at the same time', async (t) => {
  const { server, join } = await start(t);
  const writers = [1, 2, 3, 4].map((number) => new Device(number, 1_700_000_000_000 + number));
  const clients = await Promise.all(writers.map((device) => join(device)));
  const reader = await join(new Device(9));
  const rounds = 25;
  const work = clients.map(async (client, i) => {
    const device = writers[i];
    assert.ok(device);
    for (let round = 0; round < rounds; round++) {
      await client.apply(device.write({ pk: [round], set: { [`c${i}`]: round } }));
    }
  });
  await Promise.all(work);
  const total = rounds * writers.length;
  const expected = await (await overHttp(server, new Device(9), t)).changesSince();
  assert.equal(expected.length, total);
  assert.deepEqual(await pushed(reader, total), expected, 'exactly the log, in its order');
  for (const [i, client] of clients.entries()) {
    const received = await pushed(client, total - rounds);
    const own = writers[i]?.siteId;
    const theirs = expected.filter(({ siteId }) => siteId !== own);
    assert.deepEqual(received, theirs);
    const hlcs = received.map(({ hlc }) => hlc);
    assert.deepEqual(hlcs, hlcs.toSorted(compareHlc));
  }
});

test('a client that joins while others write misses nothing between its answer and the pushes', async (t) => {
  const { join } = await start(t);
  const a = new Device(1);
  const anna = await join(a);
  const sent = Array.from({ length: 120 }, (_, i) => a.write({ pk: [i], set: { x: i } }));
  const writing = (async () => {
    for (const changeSet of sent) await anna.apply(changeSet);
  })();
  const late = await join(new Device(2));
  const received = await late.changesSince();
  await writing;
  const last = sent.at(-1)?.transactionId;
  const heard = () => [...received, ...pushesTo(late)];
  while (heard().every(({ transactionId }) => transactionId !== last)) await late.nextPush();
  const ids = new Set(transactionIds(heard()));
  assert.deepEqual(
    sent.filter(({ transactionId }) => !ids.has(transactionId)),
    [],
  );
  const positions = pushesTo(late).map(({ hlc }) => hlc);
  assert.deepEqual(positions, positions.toSorted(compareHlc));
});

test('what a client brings of another author is not pushed to that author', async (t) => {
  const { join } = await start(t, RELAYING.config);
  const [a, b] = [new Device(1), new Device(2)];
  const [anna, ben, carla] = [await join(a), await join(b), await join(new Device(3))];
  const ofAnna = a.write({ pk: [1], set: { x: 1 } });
  const ofBen = b.write({ pk: [1], set: { y: 1 } });
  await ben.apply(ofAnna, ofBen);
  assert.deepEqual(transactionIds(await pushed(carla, 2)), transactionIds([ofAnna, ofBen]));
  assert.deepEqual(transactionIds(await pushed(anna, 1)), [ofBen.transactionId]);
  await ben.settled();
  assert.deepEqual(changesIn(pushesTo(ben)), ofAnna.changes, 'Ben gets what he did not write');
});
