import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHlc, encodeHlc } from '../../src/clock/hlc.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';

test('an edit made offline before a newer one, delivered after everybody moved on, reaches everybody', async () => {
  const { manager, world } = await openEngine();
  const [anna, ben, carla] = [new Device(1), new Device(2), new Device(3)];

  // Anna edits in a tunnel, at nine o'clock.
  const late = anna.write({ pk: [1], set: { title: 'from the tunnel' } });

  // Ben edits at ten, and everybody hears of it.
  ben.wallTime = anna.wallTime + 3_600_000;
  world.nowMs = ben.wallTime + 1000;
  await manager.apply([ben.write({ pk: [1], set: { note: 'from the office' } })]);
  const heardByCarla = await readAll(manager, undefined, { reader: carla.siteId });
  const watermark = heardByCarla.at(-1)?.hlc;
  assert.equal(heardByCarla.length, 1);

  // Anna is back at eleven. Her clock's nine lies before everything that Carla has seen.
  world.nowMs += 3_600_000;
  await manager.apply([late]);

  const since = await readAll(manager, watermark, { reader: carla.siteId });
  assert.equal(since.length, 1, 'Carla, who had moved on, gets the late edit');
  assert.equal(since[0]?.changes[0]?.hlc, late.changes[0]?.hlc, 'with its own HLC');

  const replica = new Replica();
  replica.apply(heardByCarla);
  replica.apply(since);
  const [row] = Object.values(replica.contents());
  assert.deepEqual(row, { note: 'from the office', title: 'from the tunnel' });
  assert.deepEqual(await readAll(manager, since.at(-1)?.hlc, { reader: carla.siteId }), []);
});

test('a client that knew another server gets everything from its time on, and some before', async () => {
  const { manager, world } = await openEngine();
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { a: 1 } })]);
  for (const aheadMs of [30_000, 10_000_000]) {
    const otherServer = new Device(99).hlc(world.nowMs + aheadMs);
    assert.equal((await readAll(manager, otherServer)).length, 1);
  }
  world.nowMs += 60_001;
  const muchLater = new Device(99).hlc(world.nowMs);
  assert.equal((await readAll(manager, muchLater)).length, 0);
});

test('a position of this coordinator that it has lost does not hide what arrives now', async () => {
  const { manager, world } = await openEngine();
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { a: 1 } })]);
  const { wallTime, ...rest } = decodeHlc(manager.position);
  const lost = encodeHlc({ ...rest, wallTime: wallTime + 10_000_000n });
  const cursor = await manager.log.cursorFor(lost);
  world.nowMs += 1;
  await manager.apply([device.write({ pk: [1], set: { a: 2 } })]);
  let changeSets = 0;
  await manager.log.page({ after: cursor, bytesMax: 1000 }, () => {
    changeSets++;
  });
  assert.equal(changeSets, 1);
});

test('a position of another node is not taken back by one that has not heard of it yet', async () => {
  const store = await createMemoryStorage().open('test');
  const [here, there] = [await openEngine({ store }), await openEngine({ store })];
  const device = new Device(1);
  for (let i = 0; i < 3; i++) await there.manager.apply([device.write({ pk: [i], set: { a: 1 } })]);
  const { position } = there.manager;
  assert.equal((await here.manager.log.cursorFor(position)).position, position);
  assert.deepEqual(await readAll(here.manager, position), []);
});
