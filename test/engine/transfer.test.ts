import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLogPins } from '../../src/engine/log/log-pins.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { contentOf } from '../../src/transfer/content.ts';
import { fillStore } from '../../src/transfer/fill-store.ts';
import { verifyDatabase } from '../../src/verify/verify.ts';
import { openEngine } from '../support/engine.ts';

/** A store that loses its connection at a commit, and with it the process that wrote. */
function breakAt(store: KVStore, commits: number): KVStore {
  let left = commits;
  return {
    ...store,
    async exclusive(work) {
      if (left-- <= 0) throw new Error('gone');
      return store.exclusive(work);
    },
  };
}

async function fill(from: KVStore, to: KVStore) {
  const tally = { done: 0, total: 0 };
  return fillStore(await contentOf(await from.view(), tally), to, tally);
}

async function makeSource() {
  const engine = await openEngine();
  const device = new Device(1);
  const writes = Array.from({ length: 9000 }, (_, pk) => ({ pk: [pk], set: { a: 1 } }));
  await engine.manager.apply([device.write(...writes)]);
  // Whoever owns it goes on with the copy.
  await engine.manager.logPins.pin('reader');
  return { ...engine, device };
}

test('interrupted at any commit, a copy goes on, also of a source that has changed since', async () => {
  const { manager, store, device } = await makeSource();
  for (let commits = 1; commits <= 6; commits++) {
    const target = await createMemoryStorage().open('copy');
    // Mark, pieces, and the mark's end.
    const whole = await fill(store, breakAt(target, commits)).then(
      () => true,
      () => false,
    );
    if (!whole) await assert.rejects(openEngine({ store: target }), { code: 'STORE_UNAVAILABLE' });
    if (whole) break;
    await manager.apply([
      device.write({ pk: [commits], delete: true }, { pk: [-1], set: { a: 2 } }),
    ]);
    // And that one is interrupted while it clears.
    await assert.rejects(fill(store, breakAt(target, 3)), /gone/);
    await assert.rejects(openEngine({ store: target }), { code: 'STORE_UNAVAILABLE' });
    const { wasComplete } = await fill(store, target);
    assert.equal(wasComplete, false);
    for await (const finding of verifyDatabase(target)) assert.fail(JSON.stringify(finding));
    assert.equal((await openEngine({ store: target })).manager.position, manager.position);
    assert.deepEqual(await readLogPins(target), await readLogPins(store));
  }
});

test('an unfinished copy is no source, and none of another database', async () => {
  const { store } = await makeSource();
  const target = await createMemoryStorage().open('copy');
  await assert.rejects(fill(store, breakAt(target, 2)), /gone/);
  await assert.rejects(contentOf(target, { done: 0, total: 0 }), { code: 'STORE_UNAVAILABLE' });
  const other = await openEngine();
  const world = { ...other.world, randomBytes: (size: number) => new Uint8Array(size).fill(99) };
  const stranger = await openEngine({ world });
  await assert.rejects(fill(stranger.store, target), /unfinished copy of another database/);
});

test('what a store gives back otherwise than it was written is not released', async () => {
  const { store } = await makeSource();
  const target = await createMemoryStorage().open('copy');
  let isFirst = true;
  const forgetful: KVStore = {
    ...target,
    exclusive: (work) =>
      target.exclusive((transaction) =>
        work({
          ...transaction,
          put(key, value) {
            if (key[0] === 'r'.charCodeAt(0) && isFirst) isFirst = false;
            else transaction.put(key, value);
          },
        }),
      ),
  };
  await assert.rejects(fill(store, forgetful), { code: 'STORE_DAMAGED' });
  await assert.rejects(openEngine({ store: target }), { code: 'STORE_UNAVAILABLE' });
});
