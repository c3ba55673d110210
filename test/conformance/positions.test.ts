import assert from 'node:assert/strict';
import { compareHlc } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { Replica } from '../support/replica.ts';
import { type Conversation, eachTransport, RELAYING } from './each-transport.ts';
import { changesIn, last, transactionIds, wallTimeMs } from './look.ts';

const HOUR_MS = 3_600_000;

/** The database's coordinator site id, as its snapshots tell it. */
async function coordinatorSite({ join }: Conversation): Promise<string> {
  const [header] = await (await join(new Device(99))).snapshot();
  return String(header?.siteId);
}

function assertRising(changeSets: readonly WireChangeSet[]): void {
  for (const [i, { hlc }] of changeSets.entries()) {
    const before = changeSets[i - 1];
    if (before !== undefined) assert.ok(compareHlc(before.hlc, hlc) < 0, 'positions rise strictly');
  }
}

eachTransport('positions rise with arrival and are of the coordinator', async (conversation) => {
  const { join } = conversation;
  const site = await coordinatorSite(conversation);
  const devices = [new Device(1, 1_700_000_000_000), new Device(2, 1_600_000_000_000)];
  const sent: WireChangeSet[] = [];
  const before = Date.now();
  for (let round = 0; round < 3; round++) {
    for (const device of devices) {
      const batch = [
        device.write({ pk: [round], set: { [device.siteId]: round } }),
        device.write({ pk: [round], set: { [`${device.siteId}2`]: round } }),
      ];
      await (await join(device)).apply(...batch);
      sent.push(...batch);
    }
  }
  const received = await (await join(new Device(3))).changesSince();
  assert.deepEqual(transactionIds(received), transactionIds(sent), 'in the order of arrival');
  assertRising(received);
  for (const [i, changeSet] of received.entries()) {
    const authored = sent[i];
    assert.equal(hlcSite(changeSet.hlc), site);
    const atMs = wallTimeMs(changeSet.hlc);
    assert.ok(atMs >= before && atMs <= Date.now(), 'of the server wall time');
    assert.deepEqual(
      { ...changeSet, hlc: '' },
      { ...authored, hlc: '' },
      'the rest is the author’s',
    );
  }
});

eachTransport('after any watermark comes exactly what arrived since', async ({ join }) => {
  const [a, b] = [new Device(1), new Device(2, 1_600_000_000_000)];
  const [anna, ben, carla] = [await join(a), await join(b), await join(new Device(3))];
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  const [first] = await carla.changesSince();
  // Written years before what Carla has seen, and delivered after it.
  const late = b.write({ pk: [2], set: { x: 2 } });
  await ben.apply(late);
  const since = await carla.changesSince(first?.hlc);
  assert.deepEqual(transactionIds(since), [late.transactionId]);
  assert.deepEqual(changesIn(since), late.changes);
  assert.deepEqual(await carla.changesSince(last(since).hlc), []);
});

eachTransport(
  'own changes are left out, and the position is carried past them',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, ben] = [await join(a), await join(b)];
    const theirs = b.write({ pk: [1], set: { y: 1 } });
    await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
    await ben.apply(theirs);
    await anna.apply(a.write({ pk: [2], set: { x: 1 } }));
    const received = await anna.changesSince();
    assert.deepEqual(changesIn(received), theirs.changes);
    assertRising(received);
    const carried = last(received);
    assert.deepEqual([carried.changes, carried.schemaMigrations], [[], []]);
    assert.equal(carried.siteId, hlcSite(carried.hlc), 'it is the coordinator’s');
    assert.deepEqual(await anna.changesSince(carried.hlc), [], 'the tail is not looked at again');
    const everything = await ben.changesSince();
    assert.ok(compareHlc(last(everything).hlc, carried.hlc) === 0, 'the position is the newest');
  },
);

eachTransport(
  'changes that a site pushes back are left out for their author',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, ben] = [await join(a), await join(b)];
    const lost = a.write({ pk: [1], set: { x: 1 } });
    await ben.apply(lost);
    assert.deepEqual(changesIn(await anna.changesSince()), [], 'Anna wrote it');
    assert.deepEqual(changesIn(await ben.changesSince()), lost.changes, 'Ben only brought it');
  },
  RELAYING,
);

eachTransport(
  'in a change set of several authors each gets the others’ changes',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const mixed = a.write({ pk: [1], set: { x: 1 } });
    const [ofB] = b.write({ pk: [1], set: { y: 1 } }).changes;
    assert.ok(ofB);
    mixed.changes.push(ofB);
    const [anna, ben, carla] = [await join(a), await join(b), await join(new Device(3))];
    await carla.apply(mixed);
    assert.deepEqual(changesIn(await anna.changesSince()), [ofB]);
    assert.deepEqual(changesIn(await ben.changesSince()), mixed.changes.slice(0, 1));
    assert.deepEqual(changesIn(await carla.changesSince()), mixed.changes);
  },
  RELAYING,
);

eachTransport(
  'an empty database has nothing, and its position has wall time 0',
  async ({ join }) => {
    const anna = await join(new Device(1));
    assert.deepEqual(await anna.changesSince(), []);
    const [header] = await anna.snapshot();
    const position = String(header?.hlc);
    assert.equal(wallTimeMs(position), 0);
    assert.deepEqual(await anna.changesSince(position), []);
    const b = new Device(2);
    await (await join(b)).apply(b.write({ pk: [1], set: { x: 1 } }));
    assert.equal((await anna.changesSince(position)).length, 1);
  },
);

eachTransport('an HLC of another site is taken as a time, rather too early', async ({ join }) => {
  const a = new Device(1);
  const [anna, carla] = [await join(a), await join(new Device(3))];
  const change = a.write({ pk: [1], set: { x: 1 } });
  await anna.apply(change);
  const elsewhere = new Device(50);
  // However far ahead that clock is: the server's own tells what is recent.
  for (const aheadMs of [0, 1_000, 50_000, HOUR_MS]) {
    const received = await carla.changesSince(elsewhere.hlc(Date.now() + aheadMs));
    assert.deepEqual(transactionIds(received), [change.transactionId], `${aheadMs} ms ahead`);
  }
  const own = await carla.changesSince(new Device(3).hlc(Date.now()));
  assert.deepEqual(transactionIds(own), [change.transactionId], 'its own clock is another, too');
});

eachTransport('no clock of a device moves positions ahead of the server', async ({ join }) => {
  const ahead = new Device(1, Date.now() + 50_000);
  const [anna, carla] = [await join(ahead), await join(new Device(3))];
  await anna.apply(ahead.write({ pk: [1], set: { x: 1 } }));
  await anna.changesSince(new Device(50).hlc(Date.now() + 100 * HOUR_MS));
  await anna.apply(ahead.write({ pk: [2], set: { x: 1 } }));
  const received = await carla.changesSince();
  assert.equal(received.length, 2);
  assertRising(received);
  assert.ok(wallTimeMs(last(received).hlc) <= Date.now());
});

eachTransport(
  'a position behind the horizon needs a snapshot; none at all, and later ones, do not',
  async ({ t, server, databaseId, join }) => {
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
    const [early] = await carla.changesSince();
    await anna.apply(a.write({ pk: [1], delete: true }));
    const [deleted] = await carla.changesSince(early?.hlc);
    await anna.apply(a.write({ pk: [2], set: { x: 1 } }));
    const [checkpointed] = await carla.snapshot();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * HOUR_MS });
    await server.maintain(databaseId);

    await assert.rejects(carla.changesSince(early?.hlc), { code: 'SNAPSHOT_REQUIRED' });
    const foreign = new Device(50).hlc(wallTimeMs(String(early?.hlc)));
    await assert.rejects(carla.changesSince(foreign), { code: 'SNAPSHOT_REQUIRED' });
    assert.equal((await carla.changesSince(deleted?.hlc)).length, 1, 'the horizon itself');
    await carla.changesSince();
    assert.deepEqual(await carla.changesSince(String(checkpointed?.hlc)), []);
    const chunks = await carla.snapshot();
    assert.equal(
      chunks.some(({ type }) => type === 'tombstone'),
      false,
    );
  },
  { config: { sync: { tombstoneTTL: HOUR_MS } }, movesClock: true },
);

eachTransport(
  'a device that was away for too long is made right by a snapshot, and brings nothing back',
  async ({ t, server, databaseId, join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, bert] = [await join(a), await join(b)];
    const made = a.write({ pk: [1], set: { x: 1 } }, { pk: [2], set: { x: 1 } });
    await anna.apply(made);
    const held = await bert.changesSince();
    const edited = b.write({ pk: [1], set: { x: 'offline', y: 1 } });
    a.wallTime = b.wallTime;
    await anna.apply(a.write({ pk: [1], delete: true }));
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * HOUR_MS });
    await server.maintain(databaseId);

    await assert.rejects(bert.changesSince(held.at(-1)?.hlc), { code: 'SNAPSHOT_REQUIRED' });
    // What it wrote meanwhile, and as today's clients do, what it holds of others.
    assert.equal((await bert.apply(edited)).applied, 0);
    assert.equal((await bert.apply(...held)).applied, 0);
    const replica = new Replica();
    replica.load(await bert.snapshot());
    assert.deepEqual(replica.rows('main', 't'), [[[2], { x: 1 }]]);
    const fresh = new Replica();
    fresh.apply(await (await join(new Device(3))).changesSince());
    assert.deepEqual(fresh.contents(), replica.contents(), 'from nothing');
    b.wallTime = Date.now();
    await bert.apply(b.write({ pk: [1], set: { x: 'again' } }));
    assert.deepEqual(changesIn(await anna.changesSince(held.at(-1)?.hlc).catch(() => [])), []);
    const again = new Replica();
    again.load(await anna.snapshot());
    assert.deepEqual(again.rows('main', 't')[0], [[1], { x: 'again' }]);
  },
  { config: { sync: { tombstoneTTL: HOUR_MS } }, movesClock: true },
);
