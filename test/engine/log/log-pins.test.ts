/** Log pins, with two engines on one store as two processes have it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SyncManager } from '../../../src/engine/sync-manager.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { openEngine, readAll } from '../../support/engine.ts';
import { createTestWorld } from '../../support/world.ts';

const MAX_AGE_MS = 60_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** @param beforeReplacing called once a part of the log has been read and judged, before it is written */
async function openPair({ beforeReplacing = async () => {} } = {}) {
  const store = await createMemoryStorage().open('a');
  const world = createTestWorld();
  const options = { world, tombstoneTTL: DAY_MS, logPinMaxAgeMs: MAX_AGE_MS };
  let isJudging = false;
  const watched: KVStore = {
    ...store,
    iterate(range) {
      isJudging ||= range.gt?.[0] === 'l'.charCodeAt(0);
      return store.iterate(range);
    },
    exclusive: async (work) => {
      if (isJudging) await beforeReplacing();
      isJudging = false;
      return store.exclusive(work);
    },
  };
  const { manager: reading } = await openEngine({ store, ...options });
  const { manager: compacting } = await openEngine({ store: watched, ...options });
  const device = new Device(1);
  const write = async (count: number) => {
    for (let a = 0; a < count; a++) await reading.apply([device.write({ pk: [1], set: { a } })]);
    // It hears of them, as of what any other process writes.
    await compacting.log.cursorFor(undefined);
  };
  return { store, world, reading, compacting, write };
}

const logAfter = async (manager: SyncManager, position: string) =>
  (await readAll(manager, position)).length;

test('what stands after a pin stays, whichever process shortens the log, until it is released', async () => {
  const { reading, compacting, write } = await openPair();
  await write(10);
  const { position, isWhole } = await reading.logPins.pin('reader');
  assert.equal(position, reading.position);
  assert.ok(isWhole);
  await write(10);
  await compacting.maintain({ thorough: true });
  assert.equal(await logAfter(reading, position), 10);
  assert.equal((await readAll(reading)).length, 10, 'what stands before it may go');
  await reading.logPins.pin('reader', reading.position);
  await compacting.maintain({ thorough: true });
  assert.equal((await readAll(reading)).length, 1);
  await write(10);
  await reading.logPins.release('reader');
  await compacting.maintain({ thorough: true });
  assert.equal((await readAll(reading)).length, 1);
});

test('the furthest behind of several pins counts', async () => {
  const { reading, compacting, write } = await openPair();
  const { position } = await reading.logPins.pin('slow');
  await write(10);
  await compacting.logPins.pin('quick');
  await write(10);
  await compacting.maintain({ thorough: true });
  assert.equal(await logAfter(reading, position), 20);
});

test('a pin that comes while another process is about to shorten the log holds', async () => {
  let pin = async () => {};
  const { reading, compacting, write } = await openPair({ beforeReplacing: () => pin() });
  await write(10);
  const { position } = reading;
  await write(10);
  let pinnings = 0;
  pin = async () => {
    pinnings++;
    await reading.logPins.pin('reader', position);
  };
  const { changesCompacted } = await compacting.maintain({ thorough: true });
  assert.equal(pinnings, 1);
  assert.ok(changesCompacted <= 10, `${changesCompacted} have left the log`);
  assert.equal(await logAfter(reading, position), 10);
});

test('a pin that is renewed holds for as long as it is', async () => {
  const { world, reading, compacting, write } = await openPair();
  const { position } = await reading.logPins.pin('reader');
  await write(10);
  for (let renewals = 0; renewals < 5; renewals++) {
    world.nowMs += MAX_AGE_MS / 2;
    assert.ok((await reading.logPins.pin('reader', position)).isWhole);
    const { logPinsLapsed } = await compacting.maintain({ thorough: true });
    assert.deepEqual(logPinsLapsed, []);
  }
  assert.equal(await logAfter(reading, position), 10);
});

test('a pin that nobody has renewed lapses, is named once, and its owner is told', async () => {
  const { world, reading, compacting, write } = await openPair();
  const { position } = await reading.logPins.pin('reader');
  await write(10);
  world.nowMs += MAX_AGE_MS + 1;
  const first = await compacting.maintain({ thorough: true });
  assert.deepEqual(first.logPinsLapsed, ['reader']);
  assert.equal(first.changesCompacted, 9);
  assert.deepEqual((await compacting.maintain({ thorough: true })).logPinsLapsed, []);
  const again = await reading.logPins.pin('reader', position);
  assert.deepEqual(again, { position, isWhole: false, isBehind: true });
  await write(10);
  await compacting.maintain({ thorough: true });
  assert.equal(await logAfter(reading, position), 11, 'it is there again');
});

test('a position behind the pin, or of another log, is not promised to be whole', async () => {
  const { reading, write } = await openPair();
  await write(2);
  const { position } = reading;
  await write(2);
  await reading.logPins.pin('reader');
  assert.deepEqual(await reading.logPins.pin('reader', position), {
    position,
    isWhole: false,
    isBehind: true,
  });
  const { manager: other } = await openEngine({ world: createTestWorld(1_900_000_000_000) });
  await other.apply([new Device(2).write({ pk: [1], set: { a: 1 } })]);
  assert.deepEqual(await reading.logPins.pin('reader', other.position), {
    position: reading.position,
    isWhole: false,
    isBehind: false,
  });
});

test('what is pinned is summed up: how many, since when, and how much they keep', async () => {
  const { world, reading, compacting, write } = await openPair();
  const startedAtMs = world.nowMs;
  await reading.logPins.pin('slow');
  world.nowMs += 1000;
  await write(1);
  world.nowMs += 1000;
  await compacting.logPins.pin('quick');
  await compacting.maintain();
  assert.deepEqual(compacting.logPins.summary, {
    count: 2,
    renewedAtMs: startedAtMs,
    unreadSinceMs: startedAtMs + 1000,
  });
  await reading.logPins.pin('slow', reading.position);
  await compacting.maintain();
  assert.deepEqual(compacting.logPins.summary, { count: 2, renewedAtMs: world.nowMs });
});

test('a pass that could look at the whole log is counted as one, though readers have pinned its end', async () => {
  const { reading, compacting, write } = await openPair();
  await write(200);
  await reading.logPins.pin('reader');
  await compacting.maintain({ thorough: true });
  assert.equal(compacting.logChanges.replaced, 0);
});
