/** What is told to all sites that have held too many rows to be kept one by one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc, hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import type { KVReader, KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { Replica, withoutNulls } from '../../../src/testing/replica.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import {
  openEngine,
  readAll,
  readChunks,
  type TestEngine,
  takeSnapshot,
} from '../../support/engine.ts';

/** So little that each refused change is too much. */
const heldLimits = { heldBytesPerSite: 100, heldBytesPerDatabase: 1e9 };
const LATER = 1_700_000_005_000;

async function assertSound({ store }: TestEngine): Promise<void> {
  for await (const { code, where, what } of verifyDatabase(store)) {
    assert.fail(`${code} ${where}: ${what}`);
  }
}

function refuse({ manager }: TestEngine, device: Device, ...refused: WireChangeSet[]) {
  return manager.apply([], { sender: new Sender(device.siteId, 'known'), refused });
}

/** Begins anew with a snapshot, as a device does that has to. */
async function startOver({ manager }: TestEngine, device: Device, replica: Replica) {
  const { resync } = await manager.sites.state(device.siteId);
  await manager.held.begin(device.siteId);
  const snapshot = await manager.tables.snapshot(undefined, { site: device.siteId });
  await manager.held.tellAgain(device.siteId);
  const chunks = await readChunks(snapshot);
  replica.load(chunks);
  const since = String(chunks[0]?.hlc);
  await manager.sites.noteSnapshotSent(device.siteId, since, resync);
  return since;
}

/** Counts the keys that transactions ask a store for, and the entries that they go through. */
function counting(store: KVStore): { store: KVStore; reads: number } {
  const count = { store, reads: 0 };
  const counted = <Reader extends KVReader>(reader: Reader): Reader =>
    new Proxy(reader, {
      get(target, name) {
        if (name === 'getMany') {
          return (keys: Uint8Array[]) => {
            count.reads += keys.length;
            return target.getMany(keys);
          };
        }
        if (name === 'iterate') {
          return async function* (range: Parameters<KVReader['iterate']>[0]) {
            for await (const entries of target.iterate(range)) {
              count.reads += entries.length;
              yield entries;
            }
          };
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  count.store = new Proxy(store, {
    get(target, name) {
      if (name === 'exclusive') {
        return (work: Parameters<KVStore['exclusive']>[0], options: object) =>
          target.exclusive((transaction) => work(counted(transaction)), options);
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return count;
}

test('what a refused change reads, and what a late one reads and writes, does not grow with the sites that ever were refused', async () => {
  const costsWith = async (sites: number) => {
    const count = counting(await createMemoryStorage().open('test'));
    const engine = await openEngine({ heldLimits, store: count.store });
    const { manager } = engine;
    const author = new Device(9999);
    await manager.apply([author.write({ pk: [1], set: { a: 0 } })]);
    for (let n = 1; n <= sites; n++) {
      const device = new Device(n, LATER);
      const refused = device.write({ pk: [1], set: { a: 'bad' } });
      assert.equal((await refuse(engine, device, refused)).full.length, 1);
      // Every second one comes back.
      if (n % 2 === 0) await startOver(engine, device, new Replica());
    }
    const { logLength } = manager;
    count.reads = 0;
    await refuse(
      engine,
      new Device(5000, LATER),
      new Device(5000).write({ pk: [1], delete: true }),
    );
    const ofRefused = count.reads;
    count.reads = 0;
    await manager.apply([author.write({ pk: [1], set: { a: 1 } })]);
    await assertSound(engine);
    return { ofRefused, ofLate: count.reads, logged: manager.logLength - logLength };
  };
  assert.deepEqual(await costsWith(100), await costsWith(4));
});

test('who once held too much ends with what is stored, however late it is written and by whom', async () => {
  const engine = await openEngine({ heldLimits, tombstoneTTL: 1e12 });
  const { manager } = engine;
  const author = new Device(20);
  const floored = [1, 2, 3].map((n) => ({
    device: new Device(n, LATER + n),
    replica: new Replica(),
    since: '',
  }));
  await manager.apply([
    author.write(...[1, 2, 3].map((pk) => ({ pk: [pk], set: { a: 0, b: 0 } }))),
  ]);
  for (const each of floored) {
    const { device, replica } = each;
    const refused = device.write({ pk: [1], set: { a: 'bad' } }, { pk: [2], delete: true });
    replica.apply([refused]);
    await refuse(engine, device, refused);
    each.since = await startOver(engine, device, replica);
  }
  // Also of one of them, from before: nobody tells a device its own changes, but for this.
  const own = new Device(2, 1_700_000_001_000);
  const late = [
    author.write({ pk: [1], set: { a: 1 } }),
    author.write({ pk: [2], set: { b: 1 } }),
    author.write({ pk: [1], set: { a: 2, c: 2 } }),
    own.write({ pk: [2], set: { b: 3 } }),
    new Device(21, 1_700_000_002_000).write({ pk: [3], delete: true }),
    new Device(22, 1_700_000_003_000).write({ pk: [3], set: { a: 4 } }),
    new Device(22, 1_700_000_004_000).write({ pk: [1], delete: true }),
  ];
  const second = floored[1];
  assert.ok(second !== undefined);
  second.replica.apply(late.slice(3, 4));
  const other = new Replica();
  const readEach = async () => {
    for (const each of floored) {
      each.replica.apply(await readAll(manager, each.since, { reader: each.device.siteId }));
      each.since = manager.position;
    }
  };
  for (const [i, set] of late.entries()) {
    await manager.apply([set]);
    if (i === 2) await manager.maintain({ thorough: true });
    // Now one by one, now several at once, and one of them only from a snapshot.
    if (i % 2 === 1) await readEach();
    if (i === 4) second.since = await startOver(engine, second.device, second.replica);
  }
  await readEach();
  const stored = new Replica();
  stored.load(await takeSnapshot(manager));
  assert.deepEqual(stored.rows('main', 't'), [
    [[2], { a: 0, b: 3 }],
    [[3], { a: 4 }],
  ]);
  for (const { device, replica } of floored) {
    assert.deepEqual(
      withoutNulls(replica.contents()),
      withoutNulls(stored.contents()),
      device.siteId,
    );
  }
  const seen = await readAll(manager, undefined, { reader: new Device(30).siteId });
  assert.ok(seen.every(({ transactionId }) => !transactionId.startsWith('reverted:')));
  other.apply(seen);
  assert.deepEqual(withoutNulls(other.contents()), withoutNulls(stored.contents()));
  await assertSound(engine);
});

test('what all of them were told leaves the log once something newer is stored, or its time is over', async () => {
  const engine = await openEngine({ heldLimits, tombstoneTTL: 10_000 });
  const { manager, world } = engine;
  const author = new Device(20);
  const device = new Device(1, LATER);
  await manager.apply([author.write({ pk: [1], set: { a: 0 } }, { pk: [2], set: { a: 0 } })]);
  await refuse(engine, device, device.write({ pk: [1], set: { a: 'bad' } }));
  const since = await startOver(engine, device, new Replica());
  for (let i = 1; i <= 5; i++) {
    await manager.apply([author.write({ pk: [1], set: { a: i } }, { pk: [2], set: { a: i } })]);
  }
  await manager.maintain({ thorough: true });
  const told = await readAll(manager, since, { reader: device.siteId });
  const values = told.flatMap(({ changes }) =>
    changes.map((change) => 'value' in change && change.value),
  );
  assert.deepEqual(values, [5, 5, 5, 5], 'to everybody, and once more');
  await assertSound(engine);
  author.wallTime = LATER + 1000;
  await manager.apply([author.write({ pk: [1], set: { a: 6 } })]);
  await manager.maintain({ thorough: true });
  const left = await readAll(manager, since, { reader: device.siteId });
  assert.equal(left.flatMap(({ changes }) => changes).length, 3);
  world.nowMs += 20_000;
  await manager.maintain({ thorough: true });
  await assertSound(engine);
  await assert.rejects(readAll(manager, since, { reader: device.siteId }), {
    code: 'SNAPSHOT_REQUIRED',
  });
  assert.equal(manager.logLength, 2, 'what is stored');
});

test('whoever holds what is dated ahead of the server drives nobody’s clock there', async () => {
  const engine = await openEngine({ heldLimits });
  const { manager, world } = engine;
  const author = new Device(20);
  const [honest, ahead] = [new Device(1, LATER), new Device(2, world.nowMs + 30_000)];
  await manager.apply([author.write({ pk: [1], set: { a: 0 } })]);
  await refuse(engine, honest, honest.write({ pk: [1], set: { a: 'bad' } }));
  const since = await startOver(engine, honest, new Replica());
  const replica = new Replica();
  const refused = ahead.write({ pk: [1], set: { a: 'bad' } });
  replica.apply([refused]);
  await refuse(engine, ahead, refused);
  // It gets what is stored, time and again, but no deltas until its time has come.
  for (let i = 1; i <= 3; i++) {
    await startOver(engine, ahead, replica);
    assert.deepEqual(replica.rows('main', 't'), [[[1], { a: i - 1 }]]);
    assert.equal(await manager.held.isIdle(ahead.siteId), true);
    await manager.apply([author.write({ pk: [1], set: { a: i } })]);
  }
  const told = await readAll(manager, since, { reader: honest.siteId });
  const newest = told.flatMap(({ changes }) => changes).map(({ hlc }) => hlc);
  assert.ok(newest.length >= 6 && newest.every((hlc) => hlcWallTimeMs(hlc) <= world.nowMs));
  world.nowMs += 31_000;
  const from = await startOver(engine, ahead, replica);
  assert.equal(await manager.held.isIdle(ahead.siteId), false);
  await manager.apply([author.write({ pk: [1], set: { a: 9 } })]);
  replica.apply(await readAll(manager, from, { reader: ahead.siteId }));
  assert.deepEqual(replica.rows('main', 't'), [[[1], { a: 9 }]]);
  const [last] = (await readAll(manager, from, { reader: honest.siteId })).slice(-1);
  assert.ok(compareHlc(last?.changes[0]?.hlc ?? '', refused.hlc) > 0);
  await assertSound(engine);
});
