import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { compareHlc, encodeHlc, type HlcText } from '../../src/clock/hlc.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { kindRange } from '../../src/engine/records/keys.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import { Catalog } from '../../src/engine/tables/catalog.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { siteBytes } from '../../src/testing/device.ts';
import { verifyDatabase } from '../../src/verify/verify.ts';
import { Random } from '../sim/random.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';
import { runs } from '../support/runs.ts';
import { createTestWorld } from '../support/world.ts';

const SEEDS = runs(6);
const FIRST_SEED = Number(process.env.TABLE_SEED ?? 1);
const STEP_ROWS = 3;
const START_MS = 1_600_000_000_000;
const ROW = 'r'.charCodeAt(0);

/** What one seed is about: sites, times, and everything that is drawn. */
class Draw extends Random {
  #now = START_MS;
  #versions = 1;

  tick(): number {
    this.#now += this.integer(1, 3) * 2;
    return this.#now;
  }

  version(): number {
    return ++this.#versions;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const list = [...items];
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.integer(0, i);
      [list[i], list[j]] = [list[j] as T, list[i] as T];
    }
    return list;
  }
}

const hlcAt = (site: number, wallTime: number, opSeq = 0): HlcText =>
  encodeHlc({ wallTime: BigInt(wallTime), counter: 0, siteId: siteBytes(site), opSeq });

function setOf(
  site: number,
  at: number,
  changes: WireChange[],
  schemaMigrations: WireMigration[] = [],
): WireChangeSet {
  const siteId = siteIdToText(siteBytes(site));
  return {
    siteId,
    transactionId: `${site}:${at}`,
    hlc: hlcAt(site, at),
    changes,
    schemaMigrations,
  };
}

const column = (site: number, at: number, table: string, pk: number, name: string): WireChange => ({
  ...{ type: 'column', schema: 'main', table, pk: [pk], column: name, value: at },
  hlc: hlcAt(site, at),
});
const deletion = (site: number, at: number, table: string, pk: number): WireChange => ({
  ...{ type: 'delete', schema: 'main', table, pk: [pk], hlc: hlcAt(site, at) },
});

function ddl(
  type: WireMigration['type'],
  site: number,
  at: number,
  table: string,
  more: Partial<WireMigration>,
): WireChangeSet {
  const migration = { type, schema: 'main', table, ddl: type, hlc: hlcAt(site, at) };
  return setOf(site, at, [], [{ ...migration, schemaVersion: 1, ...more }]);
}

/**
 * A store that counts the rows which a transaction touches, and lets some time pass between a commit
 * and the moment when its writer hears of it.
 */
class SlowToTell {
  rowsInTransaction = 0;
  readonly store: KVStore;

  constructor(store: KVStore, random: Draw) {
    this.store = {
      ...store,
      exclusive: async (work) => {
        const rows = new Set<string>();
        const note = (key: Uint8Array) => {
          if (key[0] === ROW) rows.add(Buffer.from(key).toString('hex'));
        };
        const result = await store.exclusive((transaction) =>
          work({
            ...transaction,
            put: (key, value) => {
              note(key);
              transaction.put(key, value);
            },
            delete: (key) => {
              note(key);
              transaction.delete(key);
            },
          }),
        );
        this.rowsInTransaction = Math.max(this.rowsInTransaction, rows.size);
        for (let turns = random.pick([0, 0, 1, 5]); turns > 0; turns--) await setImmediate();
        return result;
      },
    };
  }
}

/** Feeds sets, in their order, through two nodes whose memory may lag behind the store. */
async function feed(sets: readonly WireChangeSet[], random: Draw) {
  const slow = new SlowToTell(await createMemoryStorage().open('test'), random);
  const world = createTestWorld(START_MS + 10_000_000);
  const options = { store: slow.store, world, stepRows: STEP_ROWS };
  const nodes: SyncManager[] = [];
  for (let i = 0; i < 2; i++) nodes.push((await openEngine(options)).manager);
  const applying: Promise<unknown>[] = [];
  let node = random.pick(nodes);
  /** Changes that may come into one transaction, and the most that ever were. */
  let waiting = 0;
  let share = 0;
  for (let i = 0; i < sets.length; ) {
    const some = sets.slice(i, i + random.integer(1, 3));
    i += some.length;
    const applied = node.apply(some);
    applying.push(applied);
    for (const { changes } of some) waiting += changes.length;
    share = Math.max(share, waiting);
    // What is not waited for is followed by the same node's: sets keep their order.
    if (random.chance(0.6)) {
      await Promise.all(applying);
      node = random.pick(nodes);
      waiting = 0;
    }
    if (random.chance(0.1)) await random.pick(nodes).maintain({ thorough: true });
    if (random.chance(0.2)) await readAll(random.pick(nodes));
    world.nowMs += random.pick([0, 1, 50]);
  }
  await Promise.all(applying);
  for (const node of nodes) await node.maintain();
  for (const node of nodes) await node.log.cursorFor(undefined);
  const rowsMax = 2 * share + 2 * STEP_ROWS;
  assert.ok(slow.rowsInTransaction <= rowsMax, `${slow.rowsInTransaction} rows in a transaction`);
  return { store: slow.store, nodes, world };
}

const contentsOf = (changeSets: readonly WireChangeSet[]) => {
  const replica = new Replica();
  replica.apply(changeSets);
  return replica.contents();
};

async function snapshotOf(manager: SyncManager) {
  const replica = new Replica();
  replica.load(await takeSnapshot(manager));
  return replica.contents();
}

async function assertSound(store: KVStore): Promise<void> {
  for await (const { code, where, what } of verifyDatabase(store)) {
    assert.fail(`${code} ${where}: ${what}`);
  }
}

function forSeeds(name: string, check: (random: Draw) => Promise<void>): void {
  test(name, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      await check(new Draw(seed)).catch((error: Error) => {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      });
    }
  });
}

forSeeds(
  'creates, drops and data give one result in any order, over nodes that lag',
  async (random) => {
    const all: WireChangeSet[] = [];
    for (let i = random.integer(1, 30); i > 0; i--) {
      const at = random.tick();
      const table = random.pick(['t', 'u']);
      const site = random.integer(1, 3);
      const kind = random.pick(['create', 'create', 'drop', 'w', 'w', 'w', 'w', 'd']);
      if (kind === 'create') {
        const text = random.chance(0.5) ? 'same' : `ddl ${i}`;
        const schemaVersion = random.chance(0.5) ? 1 : random.version();
        all.push(ddl('create_table', site, at, table, { ddl: text, schemaVersion }));
      } else if (kind === 'drop') {
        all.push(ddl('drop_table', site, at, table, { schemaVersion: random.version() }));
      } else if (kind === 'd')
        all.push(setOf(site, at, [deletion(site, at, table, random.integer(1, 3))]));
      else {
        const other = random.pick(['t', 'u', 'plain']);
        const changes = [
          column(site, at, table, random.integer(1, 12), random.pick(['a', 'b'])),
          column(site, at + 1, other, random.integer(1, 12), 'c'),
        ];
        all.push(setOf(site, at, changes));
      }
    }
    const expected = expectedOf(all);
    for (const order of [all, random.shuffled(all), random.shuffled(all)]) {
      const { nodes, store } = await feed(order, random);
      for (const node of nodes) {
        assert.deepEqual(await snapshotOf(node), expected, 'the snapshot');
        const options = { bytesMax: random.pick([1, 300, 1_000_000]) };
        assert.deepEqual(contentsOf(await readAll(node, undefined, options)), expected, 'the log');
      }
      await assertSound(store);
      await nodes[0]?.maintain({ thorough: true });
      for (const node of nodes) {
        const log = await readAll(node, undefined, { bytesMax: 200 });
        assert.deepEqual(contentsOf(log), expected, 'the compacted log');
      }
      await assertSound(store);
    }
  },
);

/** Of creates, drops and data: a function of what was said. */
function expectedOf(all: readonly WireChangeSet[]) {
  const changeSets: WireChangeSet[] = [];
  for (const table of ['t', 'u', 'plain']) {
    const migrations = all
      .flatMap((set) => set.schemaMigrations)
      .filter((it) => it.table === table);
    const newest = (type: string) =>
      migrations
        .filter((it) => it.type === type)
        .map(({ hlc }) => hlc)
        .sort(compareHlc)
        .at(-1) ?? '';
    const [floor, made] = [newest('drop_table'), newest('create_table')];
    if (floor !== '' && (made === '' || compareHlc(made, floor) < 0)) continue;
    const isAbove = (change: WireChange) =>
      change.table === table && (floor === '' || compareHlc(change.hlc, floor) > 0);
    for (const set of all) changeSets.push({ ...set, changes: set.changes.filter(isAbove) });
  }
  return contentsOf(changeSets);
}

forSeeds(
  'data of a table that is renamed again and again is under its last name',
  async (random) => {
    const chain = [ddl('create_table', 1, random.tick(), 'n0', {})];
    const names = ['n0'];
    const data: WireChangeSet[] = [];
    for (let i = random.integer(2, 14); i > 0; i--) {
      const at = random.tick();
      if (random.chance(0.3)) {
        const to = `n${names.length}`;
        chain.push(
          ddl('rename_table', 1, at, to, { fromTable: names.at(-1) ?? '', schemaVersion: 2 }),
        );
        names.push(to);
        continue;
      }
      const [table, pk] = [random.pick(names), random.integer(1, 4)];
      const change = random.chance(0.15)
        ? deletion(2, at, table, pk)
        : column(2, at, table, pk, random.pick(['a', 'b']));
      data.push(setOf(2, at, [change]));
    }
    const last = names.at(-1) ?? '';
    const expected = contentsOf(
      data.map((set) => ({ ...set, changes: set.changes.map((it) => ({ ...it, table: last })) })),
    );
    for (let i = 0; i < 2; i++) {
      const sets = [...chain];
      for (const set of random.shuffled(data)) sets.splice(random.integer(0, sets.length), 0, set);
      const { nodes, store } = await feed(sets, random);
      for (const node of nodes) {
        assert.deepEqual(await snapshotOf(node), expected, 'the snapshot');
        assert.deepEqual(contentsOf(await readAll(node)), expected, 'the log');
      }
      await assertSound(store);
    }
  },
);

forSeeds(
  'any DDL of anybody: nobody new fails, log and snapshot agree, nothing vanishes',
  async (random) => {
    const all: WireChangeSet[] = [];
    const names = ['a', 'b', 'c'];
    for (let i = random.integer(1, 18); i > 0; i--) {
      const at = random.tick();
      const table = random.pick(names);
      const kind = random.pick([
        'create',
        'create',
        'drop',
        'rename',
        'rename',
        'w',
        'w',
        'w',
        'd',
      ]);
      const schemaVersion = random.version();
      if (kind === 'create') {
        const version = random.chance(0.5) ? 1 : schemaVersion;
        all.push(ddl('create_table', 1, at, table, { schemaVersion: version }));
      } else if (kind === 'drop') all.push(ddl('drop_table', 1, at, table, { schemaVersion }));
      else if (kind === 'rename') {
        const fromTable = random.pick(names);
        all.push(ddl('rename_table', 1, at, table, { fromTable, schemaVersion }));
      } else {
        const [site, pk] = [random.integer(2, 3), random.integer(1, 4)];
        const change =
          kind === 'd'
            ? deletion(site, at, table, pk)
            : column(site, at, table, pk, random.pick(['x', 'y']));
        all.push(setOf(site, at, [change]));
      }
    }
    const order = random.chance(0.3) ? all : random.shuffled(all);
    const { nodes, store, world } = await feed(order, random);
    const [first, second] = nodes;
    assert.ok(first && second);
    const expected = await snapshotOf(first);
    for (const node of nodes) {
      const options = { bytesMax: random.pick([1, 400, 1_000_000]) };
      assert.deepEqual(contentsOf(await readAll(node, undefined, options)), expected, 'the log');
    }
    await assertFreshDevice(first);
    await assertSound(store);
    await assertNothingVanished(all, store);
    await first.maintain({ thorough: true });
    assert.deepEqual(contentsOf(await readAll(second, undefined, { bytesMax: 1 })), expected);
    world.nowMs += random.pick([10, 10_000]);
    await first.maintain({ thorough: true });
    assert.deepEqual(
      contentsOf(await readAll(second)),
      expected,
      'after what expired is forgotten',
    );
    await assertFreshDevice(second);
    await assertSound(store);
    // What comes even later, after all that was forgotten, is judged as before.
    for (const set of random.shuffled(all)) await random.pick(nodes).apply([set]);
    await first.maintain();
    await assertFreshDevice(first);
    await assertSound(store);
    if (order === all)
      assert.deepEqual(await snapshotOf(first), expected, 'everything said once more');
  },
);

/** Carries out the DDL that is sent, as today's clients do. */
async function assertFreshDevice(manager: SyncManager): Promise<void> {
  const chunks = await takeSnapshot(manager);
  const present = new Map<string, boolean>();
  for (const { type, migration } of chunks as { type: string; migration?: WireMigration }[]) {
    if (type !== 'schema-migration' || migration === undefined) continue;
    const { type: kind, table, fromTable = '' } = migration;
    if (kind === 'create_table') present.set(table, true);
    if (kind === 'drop_table') present.set(table, false);
    if (kind !== 'rename_table') continue;
    if (!present.has(fromTable)) present.set(fromTable, true);
    if (!present.get(fromTable)) continue;
    assert.ok(!present.get(table), `a new device has ${table} already when it is renamed to`);
    present.set(fromTable, false);
    present.set(table, true);
  }
  for (const { type, table } of chunks as { type: string; table?: string }[]) {
    if (type !== 'column-versions' || table === undefined || !present.has(table)) continue;
    assert.ok(present.get(table), `cells of ${table}, which a new device lacks`);
  }
}

async function assertNothingVanished(all: readonly WireChangeSet[], store: KVStore): Promise<void> {
  const replicas = new Replica();
  for await (const entries of store.iterate(kindRange('r'))) {
    for (const [, bytes] of entries) replicas.load([...toChunks(Buffer.from(bytes).toString())]);
  }
  const drops = all
    .flatMap(({ schemaMigrations }) => schemaMigrations)
    .filter(({ type }) => type === 'drop_table');
  for (const change of all.flatMap(({ changes }) => changes)) {
    const isDropped = drops.some(({ hlc }) => compareHlc(hlc, change.hlc) > 0);
    const any = { ...change, table: 'any' };
    assert.ok(isDropped || replicas.knows(any), `lost: ${JSON.stringify(change)}`);
  }
}

/** A row as it is stored, whatever table it is of. */
function* toChunks(text: string) {
  const [pk = '[]', tombstone = '', ...cells] = text.split('\n');
  const base = { schema: 'main', table: 'any' };
  if (tombstone !== '') {
    const entries = [{ pk: JSON.parse(pk), hlc: tombstone.slice(0, 40) }];
    yield { type: 'tombstone', ...base, entries };
  }
  const entries = cells.map((line) => {
    const [hlc = '', name = '', value = ''] = line.split('\t');
    return { pk: JSON.parse(pk), hlc, column: JSON.parse(name), value: JSON.parse(value) };
  });
  yield { type: 'column-versions', ...base, entries };
}

forSeeds(
  'a reader record by record, while deletions are forgotten, has what is there or is refused',
  async (random) => {
    const store = await createMemoryStorage().open('test');
    const world = createTestWorld(START_MS);
    const [writer, other] = [
      (await openEngine({ store, world, tombstoneTTL: 5 })).manager,
      (await openEngine({ store, world, tombstoneTTL: 5 })).manager,
    ];
    const write = async () => {
      world.nowMs += random.integer(1, 3);
      const [at, pk] = [world.nowMs, random.integer(1, 6)];
      const change = random.chance(0.4) ? deletion(1, at, 't', pk) : column(1, at, 't', pk, 'x');
      await writer.apply([setOf(1, at, [change])]);
    };
    for (let i = random.integer(3, 20); i > 0; i--) await write();
    const reader = new Replica();
    let since: HlcText | undefined;
    const isPolling = random.chance(0.5);
    try {
      let cursor = await other.log.cursorFor(since);
      for (let i = 0; i < 60; i++) {
        const changeSets: WireChangeSet[] = [];
        const page = await other.log.page({ after: cursor, bytesMax: 1 }, (json) => {
          changeSets.push(JSON.parse(Buffer.from(json).toString()));
        });
        reader.apply(changeSets);
        if (i < 20 && random.chance(0.3)) await write();
        if (i < 20 && random.chance(0.3)) world.nowMs += 6;
        if (i < 20 && random.chance(0.3)) await writer.maintain({ thorough: true });
        since = page.watermark;
        cursor = isPolling || !page.hasMore ? await other.log.cursorFor(since) : page.end;
      }
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'SNAPSHOT_REQUIRED');
      return;
    }
    assert.deepEqual(reader.contents(), await snapshotOf(writer));
  },
);

test('a number is given to one table, though a node that lags has refused changes to others', async () => {
  const store = await createMemoryStorage().open('test');
  const [one, two] = [await openEngine({ store }), await openEngine({ store })];
  const unknown = setOf(1, START_MS, [deletion(1, START_MS, 'nowhere', 1)]);
  await one.manager.apply([], { refused: [unknown] });
  await two.manager.apply([setOf(2, START_MS, [column(2, START_MS, 'theirs', 1, 'x')])]);
  await one.manager.apply([setOf(3, START_MS, [column(3, START_MS, 'ours', 1, 'x')])]);
  const tables = [...(await Catalog.load(store)).tables];
  assert.deepEqual(
    tables.map(({ id, table }) => `${id} ${table}`),
    ['1 theirs', '2 ours'],
  );
  for (const { manager } of [one, two]) {
    assert.deepEqual(Object.keys(await snapshotOf(manager)), [
      '["main","ours","1"]',
      '["main","theirs","1"]',
    ]);
  }
});

test('a read between a commit and its taking over is of the state before', async () => {
  const memory = await createMemoryStorage().open('test');
  let isHeld = false;
  let release = () => {};
  let reached = () => {};
  const store: KVStore = {
    ...memory,
    exclusive: async (work) => {
      const result = await memory.exclusive(work);
      if (isHeld) {
        reached();
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      }
      return result;
    },
  };
  const { manager } = await openEngine({ store });
  const at = START_MS;
  await manager.apply([setOf(1, at, [column(1, at, 'old', 1, 'x')])]);
  isHeld = true;
  const committed = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const applying = manager.apply([
    ddl('rename_table', 1, at + 2, 'new', { fromTable: 'old' }),
    setOf(1, at + 4, [column(1, at + 4, 'old', 2, 'x')]),
  ]);
  await committed;
  const heard: WireChangeSet[] = [];
  const after = manager.log.end;
  const read = () =>
    manager.log.page({ after, bytesMax: 1_000_000 }, (json) => {
      heard.push(JSON.parse(Buffer.from(json).toString()));
    });
  await read();
  assert.equal(heard.length, 0, 'what is committed, and is not known yet, is not there');
  release();
  await applying;
  await read();
  const tables = heard.flatMap(({ changes }) => changes.map(({ table }) => table));
  assert.deepEqual(tables, ['new']);
  assert.equal(heard[0]?.schemaMigrations.length, 1);
});

test('a page that ends before DDL which its names rely on has that DDL with it', async () => {
  const { manager } = await openEngine();
  const at = START_MS;
  await manager.apply([setOf(1, at, [column(1, at, 'a', 1, 'x')])]);
  await manager.apply([setOf(1, at + 2, [column(1, at + 2, 'b', 1, 'x')])]);
  await manager.apply([ddl('rename_table', 1, at + 4, 'c', { fromTable: 'a' })]);
  await manager.apply([ddl('rename_table', 1, at + 6, 'a', { fromTable: 'b' })]);
  const pages: WireChangeSet[][] = [];
  let after = await manager.log.cursorFor(undefined);
  for (let hasMore = true; hasMore; ) {
    const page: WireChangeSet[] = [];
    const read = await manager.log.page({ after, bytesMax: 1 }, (json) => {
      page.push(JSON.parse(Buffer.from(json).toString()));
    });
    pages.push(page);
    after = read.end;
    ({ hasMore } = read);
  }
  const seen = pages.map((page) => ({
    tables: page.flatMap(({ changes }) => changes.map(({ table }) => table)),
    renames: page.flatMap(({ schemaMigrations }) => schemaMigrations.map(({ table }) => table)),
  }));
  assert.deepEqual(seen, [
    // Under these names, since that is what they go by; so what makes them so has to be known.
    { tables: ['c'], renames: ['c', 'a'] },
    { tables: ['a'], renames: ['c', 'a'] },
    { tables: [], renames: ['c'] },
    { tables: [], renames: ['a'] },
  ]);
  const positions = pages.flat().map(({ hlc }) => hlc);
  assert.deepEqual(positions, [...new Set(positions)].sort(compareHlc), 'positions rise');
});
