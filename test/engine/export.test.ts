/** A database as lines and back: the same, or in place of another one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHlc, HLC_MIN, hlcWallTimeMs } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import { readLogPins } from '../../src/engine/log/log-pins.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { digestOf } from '../../src/transfer/content.ts';
import { checkExport, contentOfExport } from '../../src/transfer/export/import-content.ts';
import { planImport } from '../../src/transfer/export/plan-import.ts';
import { exportLines } from '../../src/transfer/export/write-export.ts';
import { type Filled, fillStore } from '../../src/transfer/fill-store.ts';
import { verifyDatabase } from '../../src/verify/verify.ts';
import { openEngine, readAll, type TestEngine, takeSnapshot } from '../support/engine.ts';
import { DAY_MS, delays, history, runHistory } from '../support/history.ts';
import { Replica } from '../support/replica.ts';
import { runs } from '../support/runs.ts';
import { NAMES, VALUES } from '../support/values.ts';
import { createTestWorld } from '../support/world.ts';

const openStore = () => createMemoryStorage().open('test');
const newTally = () => ({ done: 0, total: 0 });

/** @param at when it is exported, which is in it */
async function exported(store: KVStore, at = 0): Promise<Buffer> {
  const context = { databaseId: 'test', exportedAt: new Date(at), tally: newTally() };
  const chunks: Buffer[] = [];
  for await (const chunk of exportLines(store, context)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** In chunks of a size that ends within lines. */
function openFile(bytes: Buffer) {
  return async function* () {
    for (let i = 0; i < bytes.length; i += 1000) yield bytes.subarray(i, i + 1000);
  };
}

interface ImportOptions {
  replace?: boolean;
  nowMs?: number;
  /** Of the site id that is new. */
  fill?: number;
}

async function importTo(
  store: KVStore,
  file: Buffer,
  { replace = false, nowMs = 1_800_000_500_000, fill = 200 }: ImportOptions = {},
): Promise<Filled> {
  const checked = await checkExport(openFile(file));
  const world = {
    now: () => nowMs,
    randomBytes: (size: number) => new Uint8Array(size).fill(fill),
  };
  const plan = await planImport(store, checked, world, { replace });
  const content = await contentOfExport(openFile(file), checked, plan.replacedAt);
  return fillStore(content, store, newTally(), plan);
}

async function assertSound(store: KVStore): Promise<void> {
  for await (const finding of verifyDatabase(store)) assert.fail(JSON.stringify(finding));
}

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

const openAnother = (nowMs?: number): Promise<TestEngine> => {
  const world = {
    ...createTestWorld(nowMs),
    randomBytes: (size: number) => new Uint8Array(size).fill(99),
  };
  return openEngine({ world });
};

function contentsOf(changeSets: readonly WireChangeSet[]) {
  const replica = new Replica();
  replica.apply(changeSets);
  return replica.contents();
}

test('every value, key and name comes back as it was, and so do deletions', async () => {
  const { manager, store } = await openEngine();
  const device = new Device(1);
  const writes = NAMES.flatMap((table, i) =>
    VALUES.map((value, j) => ({
      table,
      pk: [table, i, j, value],
      set: Object.fromEntries(NAMES.map((name) => [name, value])),
    })),
  );
  await manager.apply([JSON.parse(JSON.stringify(device.write(...writes)))]);
  const gone = device.write({ table: 'plain', pk: ['plain', 0, 0, null], delete: true });
  const [deletion] = gone.changes;
  assert.ok(deletion?.type === 'delete');
  deletion.priorRow = [1, null, { __bin: 'AAE=' }];
  // One key in another spelling, which the row has to keep apart.
  const spelled = device.write(
    { pk: [5], set: { a: 1 } },
    { pk: [{ __bigint: '5' }], set: { b: 2 } },
  );
  await manager.apply([gone, spelled]);
  await manager.apply([
    device.write({ pk: [6], delete: true }),
    device.write({ pk: [6], set: { a: 1 } }),
  ]);
  await manager.sites.noteSnapshotSent(device.siteId, manager.position);

  const target = await openStore();
  const { wasComplete } = await importTo(target, await exported(store));
  assert.equal(wasComplete, false);
  assert.deepEqual(await digestOf(target, newTally()), await digestOf(store, newTally()));
  await assertSound(target);
  // The same once more is no other data.
  assert.equal((await importTo(target, await exported(store))).wasComplete, true);
  await assert.rejects(importTo(target, await exported((await openAnother()).store)), /other data/);
});

test('whatever devices did, it comes back the same, and sound under a new site id', async () => {
  await fc.assert(
    fc.asyncProperty(history, delays, fc.boolean(), async (steps, late, allowResurrection) => {
      const engine = await openEngine({ tombstoneTTL: DAY_MS, allowResurrection });
      await runHistory(steps, late, engine);
      const file = await exported(engine.store);
      const same = await openStore();
      await importTo(same, file);
      assert.deepEqual(await digestOf(same, newTally()), await digestOf(engine.store, newTally()));

      const { store, manager } = await openAnother();
      await manager.apply([new Device(9).write({ pk: ['old'], set: { x: 1 } })]);
      await importTo(store, file, { replace: true, nowMs: engine.world.nowMs });
      await assertSound(store);
      const world = createTestWorld(engine.world.nowMs + 1);
      const imported = await openEngine({ store, world, tombstoneTTL: DAY_MS, allowResurrection });
      // What a new device gets does not depend on the site id, nor does what is shortened later.
      assert.deepEqual(
        contentsOf(await readAll(imported.manager)),
        contentsOf(await readAll(engine.manager)),
      );
      await imported.manager.maintain({ thorough: true });
      await assertSound(store);
    }),
    { numRuns: runs(8) },
  );
});

/** Two databases of which one takes the place of the other, and what their devices had heard. */
async function replaceOne({ aheadMs = 0 } = {}) {
  const source = await openEngine({ tombstoneTTL: DAY_MS });
  const device = new Device(1);
  for (let i = 0; i < 5; i++) {
    source.world.nowMs++;
    await source.manager.apply([device.write({ pk: [i], set: { a: `row ${i}` } })]);
  }
  await source.manager.apply([device.write({ pk: [0], delete: true })]);
  const target = await openAnother(1_800_000_000_000 + aheadMs);
  await target.manager.apply([new Device(2).write({ pk: ['old'], set: { a: 1 } })]);
  await importTo(target.store, await exported(source.store), { replace: true });
  const imported = await openEngine({
    store: target.store,
    world: createTestWorld(1_800_000_600_000),
    tombstoneTTL: DAY_MS,
  });
  return { source, target, imported, device };
}

test('in place of another it gets a new site id, and whoever knew either starts over', async () => {
  const { source, target, imported, device } = await replaceOne();
  const { manager } = imported;
  const old = [source.manager, target.manager];
  for (const { identity, position } of old) {
    assert.notEqual(manager.identity.siteIdText, identity.siteIdText);
    assert.ok(compareHlc(manager.position, position) > 0, 'positions go on after both');
    await assert.rejects(manager.log.cursorFor(position), { code: 'SNAPSHOT_REQUIRED' });
  }
  const chunks = await takeSnapshot(manager);
  const replica = new Replica();
  replica.load(chunks);
  await manager.apply([device.write({ pk: [9], set: { a: 'later' } })]);
  const header = chunks[0];
  assert.ok(typeof header?.hlc === 'string');
  replica.apply(await readAll(manager, header.hlc));
  const expected = contentsOf(await readAll(source.manager));
  assert.equal(Object.keys(replica.contents()).length, Object.keys(expected).length + 1);
  assert.equal(hlcSite(manager.position), manager.identity.siteIdText);
  await assertSound(imported.store);
});

test('log pins are not exported, and hold nothing in what an import has put in their place', async () => {
  const source = await openEngine({ tombstoneTTL: DAY_MS });
  const device = new Device(1);
  await source.manager.apply([device.write({ pk: [1], set: { a: 1 } })]);
  await source.manager.logPins.pin('reader');
  const file = await exported(source.store);
  const target = await openStore();
  await importTo(target, file);
  assert.deepEqual(await readLogPins(target), []);
  await assertSound(target);
  const other = await openAnother();
  await other.manager.logPins.pin('reader');
  await importTo(other.store, file, { replace: true });
  assert.deepEqual(await readLogPins(other.store), []);
  await assertSound(other.store);
});

test('a new device takes the imported log in pages, and is refused at none of them', async () => {
  const { source, imported } = await replaceOne();
  const { manager } = imported;
  const heard: WireChangeSet[] = [];
  let since: string | undefined;
  for (;;) {
    const after = await manager.log.cursorFor(since);
    const page = await manager.log.page({ after, bytesMax: 1 }, (json) => {
      heard.push(JSON.parse(Buffer.from(json).toString()));
    });
    // As a client does that asks again with what it has got.
    since = page.watermark;
    if (!page.hasMore) break;
  }
  assert.equal(heard.length, 6);
  assert.deepEqual(contentsOf(heard), contentsOf(await readAll(source.manager)));
  const sites = new Set(heard.map(({ hlc }) => hlcSite(hlc)));
  assert.deepEqual([...sites], [manager.identity.siteIdText]);
});

test('positions go on after those of a database whose clock was ahead', async () => {
  const { target, imported } = await replaceOne({ aheadMs: DAY_MS });
  const { position } = target.manager;
  assert.ok(compareHlc(imported.manager.position, position) > 0);
  await assert.rejects(imported.manager.log.cursorFor(position), { code: 'SNAPSHOT_REQUIRED' });
});

test('interrupted at any commit, a replacement is served by nobody and goes on as it began', async () => {
  const file = await exported((await openEngine()).store);
  const rich = await openEngine();
  const device = new Device(1);
  const writes = Array.from({ length: 5000 }, (_, pk) => ({ pk: [pk], set: { a: 1 } }));
  await rich.manager.apply([device.write(...writes)]);
  const richFile = await exported(rich.store);
  const { store, manager } = await openAnother();
  await manager.apply([device.write({ pk: ['old'], set: { a: 1 } })]);
  const before = manager.position;

  for (let commits = 1; ; commits++) {
    // Each time the clock says less than before, and another id would be drawn.
    const chance = { replace: true, nowMs: 1_700_000_000_000, fill: 200 + commits };
    const whole = await importTo(breakAt(store, commits), richFile, chance).then(
      () => true,
      (error: Error) => {
        assert.match(error.message, /gone/);
        return false;
      },
    );
    if (whole) break;
    await assert.rejects(openEngine({ store }), {
      code: 'STORE_UNAVAILABLE',
      message: /an import to it/,
    });
    await assert.rejects(importTo(store, file), /unfinished import of another file/);
  }
  const imported = await openEngine({ store });
  assert.deepEqual(imported.manager.identity.siteId, new Uint8Array(16).fill(201));
  assert.ok(compareHlc(imported.manager.position, before) > 0);
  const rows = contentsOf(await readAll(imported.manager));
  assert.deepEqual(rows, contentsOf(await readAll(rich.manager)));
  await assertSound(store);
});

test('another import takes over from one that was interrupted, and forgets no position', async () => {
  const { store, manager } = await openAnother(1_800_000_000_000 + DAY_MS);
  await manager.apply([new Device(1).write({ pk: ['old'], set: { a: 1 } })]);
  const { position } = manager;
  const [one, two] = [
    await exported((await openEngine()).store),
    await exported((await openEngine()).store, 1),
  ];
  // It has cleared what was there.
  await assert.rejects(importTo(breakAt(store, 4), one, { replace: true }), /gone/);
  await importTo(store, two, { replace: true });
  const imported = await openEngine({ store });
  assert.ok(compareHlc(imported.manager.position, position) > 0);
  assert.ok(hlcWallTimeMs(imported.manager.position) >= hlcWallTimeMs(position));
  await assert.rejects(imported.manager.log.cursorFor(position), { code: 'SNAPSHOT_REQUIRED' });
});

test('a coordinator that has it open finds out that it was replaced, and writes nothing more', async () => {
  const { store, manager } = await openAnother();
  const device = new Device(1);
  await manager.apply([device.write({ pk: ['old'], set: { a: 1 } })]);
  const file = await exported((await openEngine()).store);
  await assert.rejects(importTo(breakAt(store, 1), file, { replace: true }), /gone/);
  const assertReplaced = async () => {
    const replaced = { code: 'STORE_UNAVAILABLE', message: /replaced by an import/ };
    await assert.rejects(manager.apply([device.write({ pk: [1], set: { a: 1 } })]), replaced);
    await assert.rejects(manager.sites.requireResync(device.siteId), replaced);
    await assert.rejects(manager.tables.snapshot(), replaced);
    await assert.rejects(manager.maintain({ thorough: true }), replaced);
  };
  await assertReplaced();
  await importTo(store, file, { replace: true });
  await assertReplaced();
  await assertSound(store);
});

test('a record that an export could not give back is refused, not left out', async () => {
  for (const [key, value] of [
    ['x?', 'of no kind'],
    ['s?', 'no site'],
    ['gslot', '{}'],
    ['mreplaced', 'no position'],
    // In the place of another table than it says.
    ['t\0\0\0\u0009', `{"id":1,"schema":"","table":"t","newest":"${HLC_MIN}","cells":0}`],
  ] as const) {
    const { store } = await openEngine();
    await store.exclusive(async (transaction) =>
      transaction.put(Buffer.from(key), Buffer.from(value)),
    );
    await assert.rejects(exported(store), { code: 'STORE_DAMAGED', message: /verify/ }, key);
  }
});
