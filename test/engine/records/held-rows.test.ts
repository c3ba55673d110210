/** What one site alone is told, since something of its own was refused: kept, shortened, and carried over. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import { hlcSite } from '../../../src/clock/site-id.ts';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import { UNLIMITED_HELD } from '../../../src/engine/records/held-size.ts';
import { unmark } from '../../../src/engine/records/position-marks.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { withoutNulls } from '../../../src/testing/contents.ts';
import { Device, type RowWrite } from '../../../src/testing/device.ts';
import { CONTENT_RANGE } from '../../../src/transfer/content.ts';
import { isExportLine } from '../../../src/transfer/export/line-schemas.ts';
import { entryToLine, lineToEntry } from '../../../src/transfer/export/lines.ts';
import { underNewSite } from '../../../src/transfer/export/new-site.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import {
  openEngine,
  readAll,
  readChunks,
  type TestEngine,
  takeSnapshot,
} from '../../support/engine.ts';
import { Replica } from '../../support/replica.ts';
import { holdsAsync } from '../../support/runs.ts';

async function assertSound({ store }: TestEngine): Promise<void> {
  for await (const { code, where, what } of verifyDatabase(store)) {
    assert.fail(`${code} ${where}: ${what}`);
  }
}

function refuse({ manager }: TestEngine, device: Device, ...refused: WireChangeSet[]) {
  const sender = new Sender(device.siteId, 'known');
  return manager.apply([], { sender, refused });
}

test('the log keeps what a site was told last, and nobody else is told any of it', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  await manager.apply([b.write({ pk: [1], set: { x: 0 } })]);
  const refused = a.write({ pk: [1], set: { x: 'bad' } });
  const author = new Replica();
  author.apply([refused]);
  await refuse(engine, a, refused);
  for (let i = 1; i <= 3; i++) await manager.apply([b.write({ pk: [1], set: { x: i } })]);
  const { changesCompacted } = await manager.maintain({ thorough: true });
  assert.equal(changesCompacted, 6, 'three values of everybody’s, and three of the site’s');
  await assertSound(engine);
  const told = await readAll(manager, undefined, { reader: a.siteId });
  assert.equal(told.length, 2);
  author.apply(told);
  assert.deepEqual(author.rows('main', 't'), [[[1], { x: 3 }]]);
  const all = await readAll(manager, undefined, { reader: b.siteId });
  assert.deepEqual(all, [], 'its own, and nothing else');
  assert.equal(manager.logLength, 2);
  // What is newer than all that it holds is told to it like to anybody.
  b.wallTime = 1_700_000_009_000;
  await manager.apply([b.write({ pk: [1], set: { x: 4 } })]);
  await manager.maintain({ thorough: true });
  assert.equal(manager.logLength, 1);
  author.apply(await readAll(manager, undefined, { reader: a.siteId }));
  assert.deepEqual(author.rows('main', 't'), [[[1], { x: 4 }]]);
  await assertSound(engine);
});

test('below a refused deletion it is told what it holds, as it may take back the deletion by itself', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  await manager.apply([b.write({ pk: [1], set: { x: 0 } })]);
  const moved = a.write({ pk: [1], set: { y: 'stored elsewhere' } });
  const deletion = a.write({ pk: [1], delete: true });
  await refuse(engine, a, moved, deletion);
  const told = await readAll(manager, undefined, { reader: a.siteId });
  for (const carriedOut of [[moved], [moved, deletion]]) {
    const author = new Replica();
    author.apply([...carriedOut, ...told]);
    assert.deepEqual(withoutNulls(author.contents()), { '["main","t","1"]': { x: 0 } });
  }
  await assertSound(engine);
});

test('an export carries it over, byte for byte, and under another site with its positions', async () => {
  const engine = await openEngine();
  const { manager, store } = engine;
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  await manager.apply([b.write({ pk: [{ __bigint: '5' }], set: { x: 0, y: 0 } })]);
  await refuse(
    engine,
    a,
    a.write({ pk: [5], set: { x: 'bad', y: 0 } }, { pk: [6], set: { x: 'bad' } }),
    a.write({ pk: [{ __bigint: '5' }], delete: true }),
  );
  const replacedAt = new Device(7).hlc(1_800_000_000_000);
  let told = 0;
  for await (const entries of store.iterate(CONTENT_RANGE)) {
    for (const entry of entries) {
      const line: unknown = JSON.parse(JSON.stringify(entryToLine(entry)));
      assert.ok(isExportLine(line), JSON.stringify(line));
      const [key, value] = lineToEntry(line);
      assert.deepEqual([key, value].map(toText), entry.map(toText));
      if (line.type !== 'held') continue;
      for (const moved of underNewSite(line, replacedAt)) {
        const sites = JSON.stringify(moved).match(/"at":"[^"]+"/g) ?? [];
        for (const at of sites) {
          told++;
          assert.equal(hlcSite(JSON.parse(`{${at}}`).at), hlcSite(replacedAt));
        }
      }
    }
  }
  assert.ok(told > 0);
});

test('whoever holds more that was refused than there may be starts over, and nothing is refused for it', async () => {
  const heldLimits = {
    ...UNLIMITED_HELD,
    heldBytesPerSite: 1000,
    heldBytesPerDatabase: 2000,
  };
  const engine = await openEngine({ heldLimits });
  const { manager } = engine;
  const author = new Device(9);
  await manager.apply([author.write({ pk: [0], set: { a: 0 } })]);
  const [a, b, c] = [1, 2, 3].map((n) => new Device(n, 1_700_000_005_000));
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  const heldBy = async ({ siteId }: Device) => (await manager.sites.state(siteId)).heldBytes ?? 0;
  const resyncOf = async ({ siteId }: Device) => (await manager.sites.state(siteId)).resync;
  const fill = async (device: Device, most = 100) => {
    const good = device.write({ pk: [`good of ${device.siteId}`], set: { a: 0 } });
    for (let pk = 1; pk <= most; pk++) {
      const refused = [device.write({ pk: [pk], set: { a: 'bad' } })];
      const sender = new Sender(device.siteId, 'known');
      const { full } = await manager.apply(pk === 1 ? [good] : [], { sender, refused });
      assert.ok((await heldBy(device)) <= 1000);
      if (full.length > 0) return { pk, full };
    }
    return undefined;
  };
  const limit = 'limits.heldBytesPerSite';
  const first = await fill(a);
  assert.deepEqual(first?.full, [{ site: a.siteId, limit }]);
  assert.equal(await heldBy(a), 0, 'nothing is kept any more');
  await assertSound(engine);
  const demand = await resyncOf(a);
  assert.notEqual(demand, undefined);
  // A snapshot that was begun before then doesn't count.
  await manager.sites.noteSnapshotSent(a.siteId, manager.position, undefined);
  assert.equal(await resyncOf(a), demand);
  await manager.held.begin(a.siteId, await manager.sites.state(a.siteId));
  await manager.sites.noteSnapshotSent(a.siteId, manager.position, demand);
  assert.equal(await resyncOf(a), undefined);
  // Of all together: who has most makes room.
  const most = first.pk - 1;
  for (const device of [a, b, c]) device.wallTime += 1000;
  await fill(a, most);
  await fill(b, most);
  const last = await fill(c, most);
  assert.ok(last !== undefined && last.pk < most);
  assert.ok(last.full.some(({ site }) => site !== c.siteId));
  assert.ok(last.full.every(({ limit }) => limit === 'limits.heldBytesPerDatabase'));
  assert.equal(await resyncOf(c), undefined, 'not who has least');
  await assertSound(engine);
  const told = await readAll(manager, undefined, { reader: author.siteId });
  assert.equal(told.length, 4, 'what was good is stored');
});

test('of one long value not everybody is written a copy who was refused it: some start over, and end with it', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const author = new Device(20);
  const devices = Array.from({ length: 8 }, (_, i) => new Device(i + 1, 1_700_000_005_000));
  await manager.apply([author.write({ pk: [1], set: { a: 0 } })]);
  const replicas = new Map<Device, Replica>();
  for (const device of devices) {
    const refused = device.write({ pk: [1], set: { a: 'bad' } });
    await refuse(engine, device, refused);
    const replica = new Replica();
    replica.apply([refused]);
    replicas.set(device, replica);
  }
  const long = 'x'.repeat(1024 * 1024);
  const { full } = await manager.apply([author.write({ pk: [1], set: { a: long } })]);
  // Four letters and a little, and the fifth that goes beyond.
  assert.deepEqual(
    full.map(({ site }) => site),
    devices.slice(4).map(({ siteId }) => siteId),
  );
  await assertSound(engine);
  for (const [device, replica] of replicas) {
    const mustStartOver = full.some(({ site }) => site === device.siteId);
    assert.equal((await manager.sites.state(device.siteId)).resync !== undefined, mustStartOver);
    if (!mustStartOver) replica.apply(await readAll(manager, undefined, { reader: device.siteId }));
    else {
      await manager.held.begin(device.siteId, await manager.sites.state(device.siteId));
      const snapshot = await manager.tables.snapshot(undefined, { site: device.siteId });
      replica.load(await readChunks(snapshot));
    }
    const [[, row] = []] = replica.rows('main', 't');
    assert.ok(row?.a === long, `${mustStartOver}: ${String(row?.a).slice(0, 9)}`);
  }
});

test('a device that asks before it sends is never told to start over, and what is kept of it stays small', async () => {
  const heldBytesPerSite = 20_000;
  const engine = await openEngine({
    heldLimits: {
      ...UNLIMITED_HELD,
      heldBytesPerSite,
      heldBytesPerDatabase: 2 * heldBytesPerSite,
    },
  });
  const { manager, store } = engine;
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  const columns = Object.fromEntries([...'abcdefghijkl'].map((column) => [column, 0]));
  const keys = [...Array(200).keys()];
  await manager.apply(keys.map((pk) => b.write({ pk: [pk], set: columns })));
  const author = new Replica();
  author.apply(await readAll(manager, undefined, { reader: a.siteId }));
  let since = manager.position;
  const records: number[] = [];
  for (const pk of keys) {
    const set = a.write({ pk: [pk], delete: true });
    author.apply([set]);
    const { full } = await manager.apply([], {
      sender: new Sender(a.siteId, 'known'),
      refused: [set],
    });
    assert.deepEqual(full, []);
    await manager.held.noteHeard(a.siteId, since, await manager.sites.state(a.siteId));
    author.apply(await readAll(manager, since, { reader: a.siteId }));
    since = manager.position;
    if (pk % 50 === 49) await manager.maintain({ thorough: true });
    if (pk % 50 === 49) records.push(await countEntries(store));
  }
  assert.equal((await manager.sites.state(a.siteId)).resync, undefined);
  const [first = 0] = records;
  assert.ok(
    records.every((count) => Math.abs(count - first) < 20),
    String(records),
  );
  await assertSound(engine);
  // Whoever was away writes what is older than all that the author was told.
  const late = keys.map((pk) => b.write({ pk: [pk], set: { a: 1 } }));
  const deleted = b.write({ pk: [0], delete: true });
  await manager.apply([...late, deleted]);
  author.apply(await readAll(manager, since, { reader: a.siteId }));
  const stored = new Replica();
  stored.load(await takeSnapshot(manager));
  assert.deepEqual(withoutNulls(author.contents()), stored.contents());
});

async function countEntries(store: TestEngine['store']): Promise<number> {
  let count = 0;
  for await (const entries of store.iterate(CONTENT_RANGE)) count += entries.length;
  return count;
}

/** How often maps are read: what the engine does, whatever the machine. */
async function countReads(work: () => Promise<unknown>): Promise<number> {
  const { get, keys } = Map.prototype;
  let reads = 0;
  Map.prototype.get = function (key) {
    reads++;
    return get.call(this, key);
  };
  Map.prototype.keys = function () {
    reads++;
    return keys.call(this);
  };
  try {
    await work();
    return reads;
  } finally {
    Object.assign(Map.prototype, { get, keys });
  }
}

test('a batch of n refused sets costs n, and so does one that n sites do not take', async () => {
  const readsOf = async (count: number) => {
    const engine = await openEngine();
    const author = new Device(999);
    await engine.manager.apply([author.write({ pk: [-1], set: { x: 0 } })]);
    const numbers = [...Array(count).keys()];
    const one = new Device(998);
    const sets = numbers.map((pk) => one.write({ pk: [pk], set: { x: 'bad' } }));
    const ofOne = await countReads(() => refuse(engine, one, ...sets));
    const ofEach = numbers.map((pk) =>
      new Device(pk + 1, 1_700_000_005_000).write({ pk: [pk], set: { x: 'bad' } }),
    );
    await engine.manager.apply([], { refused: ofEach });
    const set = author.write(...numbers.map((pk) => ({ pk: [pk], set: { x: 1 } })));
    const ofMany = await countReads(() => engine.manager.apply([set]));
    await assertSound(engine);
    return { ofOne, ofMany };
  };
  const [few, many] = [await readsOf(40), await readsOf(160)];
  assert.ok(many.ofOne < 6 * few.ofOne, `${few.ofOne} and ${many.ofOne}`);
  assert.ok(many.ofMany < 6 * few.ofMany, `${few.ofMany} and ${many.ofMany}`);
});

const toText = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

const pk = fc.constantFrom<unknown[]>([1], [2]);
const write: fc.Arbitrary<RowWrite> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      pk,
      set: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 3 }), { minKeys: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ pk, delete: fc.constant(true as const) }) },
);
const steps = fc.array(
  fc.record({
    device: fc.constantFrom(0, 1, 2),
    writes: fc.array(write, { minLength: 1, maxLength: 3 }),
    isRefused: fc.boolean(),
    /** By how much its clock goes on; not in the order in which they are sent. */
    atMs: fc.integer({ min: 0, max: 8 }),
    next: fc.constantFrom('nothing', 'nothing', 'read', 'compact', 'snapshot', 'anew'),
  }),
  { maxLength: 25 },
);

const limits = fc.record({
  heldBytesPerSite: fc.constantFrom(1e9, 400, 800, 1600),
  heldBytesPerDatabase: fc.constantFrom(1e9, 3200, 800),
  heldSitesPerDatabase: fc.constantFrom(1e9, 0, 1, 2),
});

test('whatever is refused, of whom, in whatever order of clocks: each device ends with what is stored', async () => {
  await holdsAsync(
    fc.asyncProperty(steps, limits, async (history, heldLimits) => {
      const engine = await openEngine({ heldLimits });
      const { manager } = engine;
      const expected = new Replica();
      // Of a table that nobody has spoken of nothing is taken back.
      const first = new Device(9).write({ pk: [9], set: { a: 0 } });
      await manager.apply([first]);
      expected.apply([first]);
      const devices = [1, 2, 3].map((n) => ({
        device: new Device(n),
        replica: new Replica(),
        since: undefined as string | undefined,
        own: [] as WireChangeSet[],
      }));
      const snapshotOf = async ({ device: { siteId } }: (typeof devices)[number]) => {
        await manager.held.begin(siteId, await manager.sites.state(siteId));
        const snapshot = await manager.tables.snapshot(undefined, { site: siteId });
        await manager.held.tellAgain(siteId);
        return readChunks(snapshot);
      };
      const beginAnew = async (of: (typeof devices)[number]) => {
        const { siteId } = of.device;
        await manager.held.begin(siteId, await manager.sites.state(siteId));
        const { resync } = await manager.sites.state(siteId);
        of.replica = new Replica();
        const chunks = await snapshotOf(of);
        of.replica.load(chunks);
        // Deletions of its own it carries out once more, whatever was made of them.
        for (const set of of.own) {
          const changes = set.changes.filter(({ type }) => type === 'delete');
          of.replica.apply([{ ...set, changes }]);
        }
        of.since = String(chunks[0]?.hlc);
        await manager.sites.noteSnapshotSent(siteId, of.since, resync);
        of.device.wallTime = Math.max(...devices.map((each) => each.device.wallTime)) + 1;
      };
      const read = async (of: (typeof devices)[number]) => {
        const { siteId } = of.device;
        const state = await manager.sites.state(siteId);
        const mustStartOver = state.resync !== undefined || (await manager.held.isIdle(siteId));
        if (mustStartOver) await beginAnew(of);
        if (of.since !== undefined)
          await manager.held.noteHeard(siteId, unmark(of.since).position, state);
        const sets = await readAll(manager, of.since, { reader: of.device.siteId });
        of.replica.apply(sets);
        of.since = manager.position;
        // No clock stays behind what it has heard.
        for (const { hlc } of sets.flatMap(({ changes }) => changes)) {
          of.device.wallTime = Math.max(of.device.wallTime, hlcWallTimeMs(hlc) + 1);
        }
      };
      for (const { device: n, writes, isRefused, atMs, next } of history) {
        const of = devices[n];
        assert.ok(of !== undefined);
        const { device } = of;
        // Its clock goes on by the protocol: past all that it has heard, and never back.
        device.wallTime = Math.max(device.wallTime, 1_700_000_000_000 + atMs);
        const set = device.write(...writes);
        of.replica.apply([set]);
        of.own.push(set);
        if (isRefused) await refuse(engine, device, set);
        else {
          await manager.apply([set], { sender: new Sender(device.siteId, 'known') });
          expected.apply([set]);
        }
        if (next === 'read') await read(of);
        if (next === 'compact') await manager.maintain({ thorough: true });
        // A snapshot says nothing of the deletion before which a living row's cells went: whoever merges it
        // into what it has hears of that from the log, and whoever begins anew has nothing to lose by it.
        if (next === 'snapshot') await read(of);
        if (next === 'anew') {
          await beginAnew(of);
          await read(of);
        }
        if (next === 'snapshot') {
          const chunks = await snapshotOf(of);
          of.replica.load(chunks);
          of.since = String(chunks[0]?.hlc);
          // Past all deletions, too: whoever writes beneath one that it wasn't told of is told it by its session.
          device.wallTime = Math.max(...devices.map((each) => each.device.wallTime)) + 1;
          await read(of);
        }
      }
      for (const each of devices) await read(each);
      const stored = new Replica();
      stored.load(await takeSnapshot(manager));
      assert.deepEqual(stored.contents(), expected.contents(), 'what was refused changes nothing');
      for (const { device, replica } of devices) {
        const held = withoutNulls(replica.contents());
        assert.deepEqual(held, withoutNulls(expected.contents()), `device ${device.siteId}`);
      }
      await assertSound(engine);
    }),
    15,
  );
});
