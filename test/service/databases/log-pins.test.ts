import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { decodeHlc, encodeHlc } from '../../../src/clock/hlc.ts';
import { LogPinKeeper } from '../../../src/service/databases/log-pins.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';
import { startServer, temporaryDirectory } from '../../support/server.ts';
import { quiet } from '../support.ts';

const MAX_AGE_MS = 60_000;

async function openKept(t: TestContext) {
  const { manager, world } = await openEngine({ logPinMaxAgeMs: MAX_AGE_MS });
  const opened: string[] = [];
  const database = { id: 'a', manager };
  const keeper = new LogPinKeeper({
    acquire: async (id) => {
      opened.push(id);
      return { ...database, release: () => undefined };
    },
    isShared: true,
    maxAgeMs: MAX_AGE_MS,
    logger: quiet,
  });
  t.after(() => keeper.stop());
  const device = new Device(1);
  const write = async (count: number) => {
    for (let x = 0; x < count; x++) await manager.apply([device.write({ pk: [1], set: { x } })]);
  };
  const maintain = () => manager.maintain({ thorough: true });
  return { keeper, database, manager, world, opened, write, maintain };
}

test('the pins of databases that nobody has open are renewed all the same', async (t) => {
  const { keeper, world, opened, maintain } = await openKept(t);
  await keeper.pin('a', { name: 'reader' });
  opened.length = 0;
  world.nowMs += MAX_AGE_MS;
  await keeper.renewAll();
  assert.deepEqual(opened, ['a']);
  world.nowMs += MAX_AGE_MS;
  assert.deepEqual((await maintain()).logPinsLapsed, []);
});

test('a pin follows its reader, and only forward', async (t) => {
  const { keeper, database, manager, write, maintain } = await openKept(t);
  await write(5);
  const pin = await keeper.pin('a', { name: 'reader' });
  const before = pin.position;
  assert.equal(encodeHlc(before), manager.position);
  await write(5);
  pin.advance(decodeHlc(manager.position));
  pin.advance(before);
  await keeper.renew(database);
  assert.equal((await maintain()).changesCompacted, 9);
});

test('a pin that is closed lapses, and one that is released is gone', async (t) => {
  const { keeper, database, world, write, maintain } = await openKept(t);
  const [closed, released] = [
    await keeper.pin('a', { name: 'closed' }),
    await keeper.pin('a', { name: 'released' }),
  ];
  closed.close();
  await released.release();
  await write(5);
  await keeper.renew(database);
  assert.equal((await maintain()).changesCompacted, 0);
  world.nowMs += MAX_AGE_MS + 1;
  await keeper.renew(database);
  const { changesCompacted, logPinsLapsed } = await maintain();
  assert.equal(changesCompacted, 4);
  assert.deepEqual(logPinsLapsed, ['closed']);
});

test('who has taken over a pin keeps it, whatever becomes of the one before', async (t) => {
  const { keeper, database, world, maintain } = await openKept(t);
  const before = await keeper.pin('a', { name: 'reader' });
  await keeper.pin('a', { name: 'reader' });
  before.close();
  await before.release();
  world.nowMs += MAX_AGE_MS + 1;
  await keeper.renew(database);
  assert.deepEqual((await maintain()).logPinsLapsed, []);
});

test('a reader whose pin has lapsed is told, once, and has it again', async (t) => {
  const { keeper, database, manager, world, write, maintain } = await openKept(t);
  let lapses = 0;
  const pin = await keeper.pin('a', { name: 'reader', onLapsed: () => lapses++ });
  await write(5);
  world.nowMs += MAX_AGE_MS + 1;
  await maintain();
  await keeper.renew(database);
  await keeper.renew(database);
  assert.equal(lapses, 1);
  pin.advance(decodeHlc(manager.position));
  await keeper.renew(database);
  assert.equal(lapses, 1);
});

test('a reader is told that there is more to read, whoever wrote it, until it has read it', async (t) => {
  const { keeper, database, manager, write } = await openKept(t);
  let calls = 0;
  const pin = await keeper.pin('a', { name: 'reader', onBehind: () => calls++ });
  await keeper.renew(database);
  assert.equal(calls, 0);
  await write(1);
  await keeper.renew(database);
  assert.equal(calls, 1);
  pin.advance(decodeHlc(manager.position));
  await keeper.renew(database);
  assert.equal(calls, 1);
});

test('a name that is none is refused before anything is opened', async (t) => {
  const { keeper, opened } = await openKept(t);
  for (const name of ['', 'a b', 'ä', 'x'.repeat(129)]) {
    await assert.rejects(keeper.pin('a', { name }), TypeError);
  }
  assert.deepEqual(opened, []);
});

test('the metrics tell of pins', async (t) => {
  const server = await startServer(t, {
    config: { storage: `leveldb:${temporaryDirectory()}` },
  });
  await server.service.logPins.pin('default', { name: 'reader' });
  await server.service.maintain('default');
  const text = await (await fetch(`${server.httpUrl}/metrics`)).text();
  assert.match(text, /^sync_log_pins 1$/m);
  assert.match(text, /^sync_log_pin_age_seconds \d/m);
  assert.match(text, /^sync_log_pin_lag_seconds 0$/m);
  assert.match(text, /^sync_log_pins_lapsed_total 0$/m);
});
