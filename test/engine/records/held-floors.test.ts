/** Sites that have held too much to be kept row by row: what they cost others, and what they are told. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import { kindRange } from '../../../src/engine/records/keys.ts';
import type { KVReader, KVStore } from '../../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { withoutNulls } from '../../../src/testing/contents.ts';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import {
  openEngine,
  readAll,
  readChunks,
  type TestEngine,
  takeSnapshot,
} from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';

/** So little that each refused change is too much. */
const heldLimits = { heldBytesPerSite: 100, heldBytesPerDatabase: 1e9, heldSitesPerDatabase: 2 };
const LATER = 1_700_000_005_000;
const KEYS = [...Array(12).keys()];

async function findingsOf(store: KVStore): Promise<string[]> {
  const findings: string[] = [];
  for await (const { code, where, what } of verifyDatabase(store)) {
    findings.push(`${code} ${where}: ${what}`);
  }
  return findings;
}

/** Changes of a device's are refused, for which it has to start over. */
function refuse({ manager }: TestEngine, device: Device) {
  const refused = [device.write(...KEYS.map((pk) => ({ pk: [pk], set: { a: 'bad' } })))];
  const sender = new Sender(device.siteId, 'known');
  return manager.apply([], { sender, refused });
}

/** Begins anew with a snapshot, as a device does that has to: from nothing. */
async function startOver({ manager }: TestEngine, device: Device) {
  await manager.held.begin(device.siteId, await manager.sites.state(device.siteId));
  const { resync } = await manager.sites.state(device.siteId);
  assert.notEqual(resync, undefined);
  const snapshot = await manager.tables.snapshot(undefined, { site: device.siteId });
  await manager.held.tellAgain(device.siteId);
  const chunks = await readChunks(snapshot);
  const replica = new Replica();
  replica.load(chunks);
  const since = String(chunks[0]?.hlc);
  await manager.sites.noteSnapshotSent(device.siteId, since, resync);
  return { replica, since };
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
    const { manager, store } = engine;
    const author = new Device(9999);
    await manager.apply([author.write(...KEYS.map((pk) => ({ pk: [pk], set: { a: 0 } })))]);
    for (let n = 1; n <= sites; n++) {
      const device = new Device(n, LATER);
      assert.equal((await refuse(engine, device)).full.length, 1);
      // Every second one comes back.
      if (n % 2 === 0) await startOver(engine, device);
    }
    const { logLength } = manager;
    count.reads = 0;
    await refuse(engine, new Device(5000, LATER));
    const ofRefused = count.reads;
    count.reads = 0;
    await manager.apply([author.write({ pk: [1], set: { a: 1 } })]);
    assert.equal(manager.heldSites, 0, 'one more is too much for those that were told');
    assert.deepEqual(await findingsOf(store), []);
    return { ofRefused, ofLate: count.reads, logged: manager.logLength - logLength };
  };
  const few = await costsWith(8);
  assert.equal(few.logged, 4, 'what is late, what was refused, and two that are told');
  assert.deepEqual(await costsWith(100), few);
});

test('beyond the most that are told of late changes those with the oldest floors start over at the next one, and not before', async () => {
  // Room for what they are told.
  const engine = await openEngine({
    heldLimits: { ...heldLimits, heldBytesPerSite: 1000, heldSitesPerDatabase: 1 },
  });
  const { manager, store } = engine;
  const author = new Device(20);
  await manager.apply([author.write(...KEYS.map((pk) => ({ pk: [pk], set: { a: 0, b: 0 } })))]);
  const sites = await Promise.all(
    [1, 2, 3].map(async (n) => ({
      device: new Device(n, LATER + n),
      replica: new Replica(),
      since: '',
    })),
  );
  for (const each of sites) {
    await refuse(engine, each.device);
    Object.assign(each, await startOver(engine, each.device));
    assert.equal(manager.heldSites, 1);
  }
  const idle = () => Promise.all(sites.map(({ device }) => manager.held.isIdle(device.siteId)));
  const stored = new Replica();
  const readAndCompare = async () => {
    stored.load(await takeSnapshot(manager));
    for (const each of sites) {
      const { device } = each;
      if (await manager.held.isIdle(device.siteId)) {
        Object.assign(each, await startOver(engine, device));
      }
      each.replica.apply(await readAll(manager, each.since, { reader: device.siteId }));
      each.since = manager.position;
      assert.deepEqual(withoutNulls(each.replica.contents()), stored.contents(), device.siteId);
    }
    assert.deepEqual(await findingsOf(store), []);
  };
  assert.deepEqual(await idle(), [false, false, false]);
  // Newer than all floors: nobody has to do anything.
  await manager.apply([new Device(21, LATER + 10).write({ pk: [1], set: { c: 1 } })]);
  assert.deepEqual(await idle(), [false, false, false]);
  await readAndCompare();
  let idled = 0;
  manager.onAppended(({ haveIdled }) => {
    if (haveIdled) idled++;
  });
  // Newer than the floors of those that are not listed.
  await manager.apply([new Device(22, LATER + 3).write({ pk: [1], set: { a: 1 } })]);
  assert.deepEqual([await idle(), idled], [[false, false, false], 0]);
  await manager.apply([author.write({ pk: [1], set: { b: 1 } }, { pk: [2], set: { b: 1 } })]);
  assert.deepEqual(await idle(), [true, true, false], 'the third one was told');
  assert.equal(idled, 1, 'their sessions are told');
  await readAndCompare();
  assert.deepEqual(await idle(), [false, false, false], 'they have started over');
  await manager.apply([author.write({ pk: [2], delete: true })]);
  await readAndCompare();
});

test('verify finds floors that are not listed as they are', async () => {
  const engine = await openEngine({ heldLimits });
  const { manager, store } = engine;
  await manager.apply([new Device(20).write({ pk: [1], set: { a: 0 } })]);
  const device = new Device(1, LATER);
  await refuse(engine, device);
  await startOver(engine, device);
  assert.deepEqual(await findingsOf(store), []);
  await store.exclusive(async (transaction) => {
    for await (const entries of transaction.iterate(kindRange('f'))) {
      for (const [key] of entries) transaction.delete(key);
    }
  });
  assert.match((await findingsOf(store)).join('\n'), /^SITE floor .*: is not listed$/);
});
