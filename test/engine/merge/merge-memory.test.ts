/** The smallest change needs its whole row: what a batch reads is bounded, as what it brings is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MergeMemory } from '../../../src/engine/merge/merge-memory.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { openEngine } from '../../support/engine.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Has `note` told how many bytes each read of a transaction gave. */
async function openWatched(note: (bytes: number) => void): Promise<KVStore> {
  const store = await createMemoryStorage().open('test');
  const exclusive: KVStore['exclusive'] = (work, options) =>
    store.exclusive(async (transaction) => {
      const getMany: typeof transaction.getMany = async (keys) => {
        const values = await transaction.getMany(keys);
        note(values.reduce((bytes, value) => bytes + (value?.length ?? 0), 0));
        return values;
      };
      return work({ ...transaction, getMany });
    }, options);
  return { ...store, exclusive };
}

test('a batch whose rows hold more than they may is refused before they are read, and goes in parts', async () => {
  let readBytes = 0;
  const store = await openWatched((bytes) => {
    readBytes += bytes;
  });
  const mergeMemory = new MergeMemory({ rowBytesPerBatch: 40 * MIB });
  const { manager } = await openEngine({ store, mergeMemory });
  const device = new Device(1);
  const keys = Array.from({ length: 50 }, (_, key) => key);
  for (const key of keys) {
    await manager.apply([device.write({ pk: [key], set: { text: 'x'.repeat(2 * MIB) } })]);
  }
  const touch = (some: number[]) =>
    device.write(...some.map((pk) => ({ pk: [pk], set: { done: 1 } })));
  readBytes = 0;
  const refused = { code: 'TOO_LARGE', message: /limits\.rowBytesPerBatch \(41943040\)/ };
  const small = manager.apply([device.write({ pk: ['other'], set: { done: 1 } })]);
  await assert.rejects(manager.apply([touch(keys)]), refused);
  // Whoever was merged together with it notices nothing.
  assert.equal((await small).applied, 1);
  // Beside others and alone, with the other one and without: until there was no room, and a read of
  // 32 MiB more.
  assert.ok(readBytes <= 4 * (40 + 32) * MIB, `${readBytes} bytes were read`);
  assert.equal((await manager.apply([touch(keys.slice(0, 10))])).applied, 10);
  assert.equal((await manager.apply([touch(keys.slice(10, 20))])).applied, 10);
});

test('long rows are read few at once, short ones many', async () => {
  let most = 0;
  let calls = 0;
  const store = await openWatched((bytes) => {
    calls++;
    most = Math.max(most, bytes);
  });
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  const keys = Array.from({ length: 60 }, (_, key) => key);
  const write = (value: number | string) =>
    manager.apply([device.write(...keys.map((pk) => ({ pk: [pk], set: { value } })))]);
  await write(1);
  calls = 0;
  await write(2);
  const ofShort = calls;
  await write('x'.repeat(MIB));
  most = 0;
  await write(3);
  assert.ok(most <= 33 * MIB, `${most} bytes were read at once`);
  assert.ok(ofShort <= 3, `${ofShort} calls`);
});

test('groups share a little memory, and what needs more is merged one after the other', async () => {
  const memory = new MergeMemory({ rowBytesPerBatch: 100, sharedBytes: 50 });
  const gate = deferred();
  const begun: string[] = [];
  const merge = (name: string, bytes: number) =>
    memory.run(async (take) => {
      take(bytes);
      begun.push(name);
      await gate.promise;
      return name;
    });
  const merging = [merge('a', 30), merge('b', 20), merge('c', 40), merge('d', 90), merge('e', 1)];
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  assert.deepEqual(begun, ['a', 'b', 'c']);
  gate.resolve();
  assert.deepEqual(await Promise.all(merging), ['a', 'b', 'c', 'd', 'e']);
  assert.deepEqual(begun, ['a', 'b', 'c', 'd', 'e']);
  await assert.rejects(merge('f', 101), { code: 'TOO_LARGE' });
  assert.equal(await merge('g', 50), 'g');
});
