import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHlc } from '../../src/clock/hlc.ts';
import { Sender } from '../../src/engine/merge/foreign-authors.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { createTestWorld } from '../support/world.ts';

test('a new database has a site id of its own, keeps it, and stands at wall time 0', async () => {
  const storage = createMemoryStorage();
  const first = await openEngine({ store: await storage.open('a') });
  const { siteIdText } = first.manager.identity;
  const { wallTime, siteId } = decodeHlc(first.manager.position);
  assert.equal(wallTime, 0n);
  assert.deepEqual(Buffer.from(siteId), Buffer.from(first.manager.identity.siteId));
  await first.manager.close();
  await first.store.close();
  const { manager, world } = first;
  assert.equal(manager.logLength, 0);
  const again = await openEngine({ store: await storage.open('a'), world });
  assert.equal(again.manager.identity.siteIdText, siteIdText);
  const other = await openEngine({ store: await storage.open('b'), world });
  assert.notEqual(other.manager.identity.siteIdText, siteIdText);
});

test('a batch that is dated too far ahead is refused whole, and says where and by how much', async () => {
  const { manager, world } = await openEngine();
  const device = new Device(1);
  const good = device.write({ pk: [1], set: { a: 1 } });
  device.wallTime = world.nowMs + 60_001;
  const ahead = device.write({ pk: [2], set: { a: 2 } });
  await assert.rejects(manager.apply([good, ahead]), {
    code: 'CLOCK_DRIFT',
    message: /changes\[1\].*60001 ms/,
  });
  assert.deepEqual(await readAll(manager), []);
  device.wallTime = world.nowMs + 60_000;
  assert.equal((await manager.apply([device.write({ pk: [2], set: { a: 2 } })])).applied, 1);
});

test('positions rise strictly while the wall stands still, jumps back, and jumps ahead', async () => {
  const { manager, world } = await openEngine();
  const device = new Device(1);
  const jumps = [0, 0, -3_600_000, 0, 7_200_000, -1, 0];
  for (const jump of jumps) {
    world.nowMs += jump;
    await manager.apply([device.write({ pk: [1], set: { a: jump } })]);
  }
  const positions = (await readAll(manager)).map(({ hlc }) => hlc);
  const bytes = positions.map((hlc) => Buffer.from(hlc, 'base64').toString('latin1'));
  assert.equal(bytes.length, jumps.length);
  assert.deepEqual(bytes, [...new Set(bytes)].sort());
});

test('what waits together shares a store transaction, and each gets its own result', async () => {
  const store = await createMemoryStorage().open('a');
  let transactions = 0;
  const counting: KVStore = {
    ...store,
    exclusive: (work) => {
      transactions++;
      return store.exclusive(work);
    },
  };
  const { manager } = await openEngine({ store: counting });
  transactions = 0;
  const devices = Array.from({ length: 50 }, (_, i) => new Device(i + 1));
  const results = await Promise.all(
    devices.map((device, i) =>
      manager.apply([
        device.write({ pk: [i], set: { a: 1, b: 2 } }, { pk: ['all'], set: { c: i } }),
      ]),
    ),
  );
  assert.ok(transactions <= 2, `${transactions} transactions`);
  // One clock reading, so that the site ids decide over the row that all of them wrote.
  assert.deepEqual(
    results.map(({ applied }) => applied),
    devices.map(() => 3),
  );
});

test('a batch that cannot be merged fails alone, and hurts no other of its group', async () => {
  const { manager } = await openEngine();
  const [a, b, c] = [new Device(1), new Device(2), new Device(3)];
  const poisoned = c.write({ pk: [3], set: { a: 3 } });
  for (const change of poisoned.changes) {
    Object.defineProperty(change, 'pk', {
      get() {
        throw new Error('poisoned');
      },
    });
  }
  const [first, failed, last] = await Promise.allSettled([
    manager.apply([a.migrate('create_table', 't'), a.write({ pk: [1], set: { a: 1 } })]),
    manager.apply([poisoned]),
    manager.apply([b.write({ pk: [2], set: { a: 2 } })]),
  ]);
  assert.equal(first.status === 'fulfilled' && first.value.applied, 2);
  assert.match(String(failed.status === 'rejected' && failed.reason), /poisoned/);
  assert.equal(last.status === 'fulfilled' && last.value.applied, 1);
  assert.equal((await readAll(manager)).length, 3);
});

test('a transaction whose commit fails leaves no trace, in memory either', async () => {
  const store = await createMemoryStorage().open('a');
  let isFailing = false;
  const failing: KVStore = {
    ...store,
    exclusive: (work) =>
      store.exclusive(async (transaction) => {
        const result = await work(transaction);
        if (isFailing) throw new Error('disk full');
        return result;
      }),
  };
  const { manager } = await openEngine({ store: failing });
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { a: 1 } })]);
  const before = { position: manager.position, chunks: (await takeSnapshot(manager)).slice(1, -1) };
  isFailing = true;
  const drop = device.migrate('drop_table', 't');
  await assert.rejects(manager.apply([drop]), ({ code, cause }) => {
    assert.equal(code, 'STORE_UNAVAILABLE');
    return /disk full/.test(String(cause));
  });
  isFailing = false;
  assert.equal(manager.position, before.position);
  assert.deepEqual((await takeSnapshot(manager)).slice(1, -1), before.chunks);
  assert.equal((await readAll(manager)).length, 1, 'the drop that failed hides nothing');
  assert.equal((await manager.apply([drop])).applied, 1);
  assert.deepEqual(
    (await readAll(manager)).flatMap(({ changes }) => changes),
    [],
  );
});

test('a listener that fails makes no durable batch look as if it had failed', async () => {
  const { manager } = await openEngine();
  const heard: unknown[] = [];
  manager.onAppended(() => {
    throw new Error('deaf');
  });
  manager.onAppended((appended) => heard.push(appended.records?.length));
  const device = new Device(1);
  assert.equal((await manager.apply([device.write({ pk: [1], set: { a: 1 } })])).applied, 1);
  assert.deepEqual(heard, [1]);
});

test('what is known already is skipped, what lost is a conflict, and neither gets a position', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const old = device.write({ pk: [1], set: { a: 1 } });
  const recent = device.write({ pk: [1], set: { a: 2 } });
  await manager.apply([recent]);
  const { position } = manager;
  const again = await manager.apply([recent, old]);
  const { unapplied, elsewhere, full, ...result } = again;
  assert.deepEqual(result, { applied: 0, skipped: 1, conflicts: 1, transactions: 2, position });
  assert.deepEqual([elsewhere, full], [[], []]);
  assert.deepEqual(
    unapplied.map(({ outcome }) => outcome),
    ['skipped', 'conflicts'],
  );
  assert.equal(manager.position, position);
});

test('the site that authored changes and the snapshot it was sent are remembered', async () => {
  const storage = createMemoryStorage();
  const store = await storage.open('a');
  const { manager, world } = await openEngine({ store });
  const device = new Device(1);
  const changeSet = device.write({ pk: [1], set: { a: 1, b: 2 } });
  const sender = new Sender(device.siteId, 'known');
  await manager.apply([changeSet], { sender });
  await manager.sites.noteSnapshotSent(device.siteId, manager.position);
  const snapshot = manager.position;
  const later = device.write({ pk: [2], set: { a: 1 } });
  await manager.apply([later], { sender });
  await manager.close();
  await store.close();
  const again = await openEngine({ store: await storage.open('a'), world });
  assert.deepEqual(await again.manager.sites.state(device.siteId), {
    authored: later.hlc,
    snapshot,
  });
});

test('a large batch is merged in turns, whatever it is made of, and is still one transaction', async () => {
  const device = new Device(1);
  const rows = Array.from({ length: 10_000 }, (_, i) => ({ pk: [i], set: { a: i } }));
  const cells = Object.fromEntries(rows.map((_, i) => [`column_${i}`, i]));
  const large = Array.from({ length: 20 }, (_, i) => ({
    pk: [i],
    set: { a: 'x'.repeat(400_000) },
  }));
  for (const [changeSets, turnsMin] of [
    [[device.write(...rows)], 30],
    [rows.map((row) => device.write(row)), 30],
    [[device.write({ pk: [1], set: cells })], 10],
    [[device.write(...large)], 20],
  ] as const) {
    const world = createTestWorld();
    let turns = 0;
    const engine = await openEngine({
      world: Object.assign(world, { yield: async () => void turns++ }),
    });
    const positions: number[] = [];
    engine.manager.onAppended(({ records }) => positions.push(records?.length ?? 0));
    const changes = changeSets.flatMap((set) => set.changes).length;
    assert.equal((await engine.manager.apply(changeSets)).applied, changes);
    assert.ok(turns >= turnsMin, `${turns} turns`);
    // What it has become is heard of once. What is much is read by everybody at a pace of their own.
    assert.equal(positions.length, 1);
    const read = await readAll(engine.manager);
    assert.deepEqual(
      read.map(({ changes }) => changes),
      changeSets.map(({ changes }) => changes),
    );
  }
});
