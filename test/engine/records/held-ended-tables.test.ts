/** What sites hold that was refused, of tables that are dropped, or end in another. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import { heldKey, kindRange, siteKey } from '../../../src/engine/records/keys.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
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

async function findingsOf(store: KVStore): Promise<string[]> {
  const findings: string[] = [];
  for await (const { code, where, what } of verifyDatabase(store)) {
    findings.push(`${code} ${where}: ${what}`);
  }
  return findings;
}

async function countHeld(store: KVStore): Promise<number> {
  let count = 0;
  for await (const entries of store.iterate(kindRange('h'))) count += entries.length;
  return count;
}

function refuse({ manager }: TestEngine, device: Device, ...refused: WireChangeSet[]) {
  const sender = new Sender(device.siteId, 'known');
  return manager.apply([], { sender, refused });
}

/** The same set in a table of another name, as the device has it that hears of a rename. */
function renamed(set: WireChangeSet, table: string): WireChangeSet {
  return { ...set, changes: set.changes.map((change) => ({ ...change, table })) };
}

for (const stepRows of [100, 1]) {
  test(`what is held of a dropped table goes, and its bytes are given back (${stepRows} rows a step)`, async () => {
    const engine = await openEngine({ stepRows });
    const { manager, store } = engine;
    const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
    const keys = [1, 2, 3];
    await manager.apply([
      b.migrate('create_table', 't'),
      b.write(...keys.map((pk) => ({ pk: [pk], set: { x: 0 } })), {
        table: 'u',
        pk: [1],
        set: { x: 0 },
      }),
    ]);
    await refuse(engine, a, a.write(...keys.map((pk) => ({ pk: [pk], set: { x: 'bad' } }))));
    await refuse(engine, a, a.write({ table: 'u', pk: [1], set: { x: 'bad' } }));
    assert.equal(await countHeld(store), 4);
    b.wallTime = 1_700_000_009_000;
    await manager.apply([b.migrate('drop_table', 't', { schemaVersion: 2 })]);
    await manager.maintain();
    assert.equal(await countHeld(store), 1, 'what is held of the other table stays');
    const { heldBytes = 0 } = await manager.sites.state(a.siteId);
    assert.ok(heldBytes > 0 && heldBytes < 400, String(heldBytes));
    assert.deepEqual(await findingsOf(store), []);
  });

  test(`what is held of a table that ends in another moves there, and its site is told what is stored (${stepRows} rows a step)`, async () => {
    const engine = await openEngine({ stepRows });
    const { manager, store } = engine;
    const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
    await manager.apply([
      b.migrate('create_table', 'old'),
      b.write({ table: 'old', pk: [1], set: { x: 0 } }),
      b.write(
        { table: 'new', pk: [1], set: { y: 0 } },
        { table: 'new', pk: [2], set: { y: 0 } },
        { table: 'new', pk: [4], set: { y: 0 } },
      ),
    ]);
    const refused = [
      a.write({ table: 'old', pk: [1], set: { x: 'bad', y: 'bad' } }),
      a.write({ table: 'old', pk: [4], set: { y: 'bad' } }),
      a.write({ table: 'new', pk: [1], set: { x: 'bad', y: 'bad', z: 'bad' } }),
      a.write({ table: 'new', pk: [2], delete: true }),
      a.write({ table: 'new', pk: [3], set: { y: 'bad' } }),
    ];
    await refuse(engine, a, ...refused);
    await manager.apply([b.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 2 })]);
    await manager.maintain();
    assert.deepEqual(await findingsOf(store), []);
    // Older than all that was refused.
    await manager.apply([
      b.write(
        { table: 'new', pk: [1], set: { x: 1, z: 1 } },
        { table: 'new', pk: [2], set: { y: 1 } },
        { table: 'new', pk: [3], set: { y: 1 } },
      ),
    ]);
    const author = new Replica();
    author.apply(refused.map((set) => renamed(set, 'new')));
    const told = await readAll(manager, undefined, { reader: a.siteId });
    author.apply(told.filter(({ transactionId }) => !transactionId.startsWith('position')));
    const stored = new Replica();
    stored.load(await takeSnapshot(manager));
    assert.equal(stored.rows('main', 'new').length, 4);
    assert.deepEqual(withoutNulls(author.contents()), stored.contents());
    assert.deepEqual(await findingsOf(store), []);
  });
}

test('of one long value that moves not everybody is told who was refused it: some start over, and end with it', async () => {
  // Where it moves to they are told with the batch; what they hold of the other table moves later.
  for (const table of ['old', 'new']) {
    const engine = await openEngine();
    const { manager, store } = engine;
    const author = new Device(20);
    const devices = Array.from({ length: 8 }, (_, i) => new Device(i + 1, 1_700_000_005_000));
    const long = 'x'.repeat(1024 * 1024);
    await manager.apply([
      author.migrate('create_table', 'old'),
      author.write({ table: 'old', pk: [1], set: { y: 0 } }),
      author.write({ table: 'new', pk: [1], set: { x: long } }),
    ]);
    const replicas = new Map<Device, Replica>();
    for (const device of devices) {
      const refused = device.write({ table, pk: [1], set: { x: 'bad' } });
      await refuse(engine, device, refused);
      const replica = new Replica();
      replica.apply([renamed(refused, 'new')]);
      replicas.set(device, replica);
    }
    const since = manager.position;
    let idled = 0;
    manager.onAppended(({ haveIdled }) => {
      if (haveIdled) idled++;
    });
    const rename = author.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 2 });
    const { full } = await manager.apply([rename]);
    await manager.maintain();
    const mustStartOver = async ({ siteId }: Device) =>
      (await manager.sites.state(siteId)).resync !== undefined;
    const told: Device[] = [];
    for (const device of devices) if (!(await mustStartOver(device))) told.push(device);
    assert.ok(told.length >= 4 && told.length <= 5, `${table}: ${told.length}`);
    if (table === 'old') {
      assert.deepEqual(
        full.map(({ site }) => site),
        devices.slice(told.length).map(({ siteId }) => siteId),
      );
    } else {
      assert.equal(full.length, 0);
      assert.ok(idled > 0, 'their sessions are ended');
    }
    assert.deepEqual(await findingsOf(store), []);
    for (const [device, replica] of replicas) {
      if (told.includes(device)) {
        replica.apply(await readAll(manager, since, { reader: device.siteId }));
      } else {
        await manager.held.begin(device.siteId, await manager.sites.state(device.siteId));
        const snapshot = await manager.tables.snapshot(undefined, { site: device.siteId });
        replica.load(await readChunks(snapshot));
      }
      const row = replica.rows('main', 'new').find(([pk]) => pk[0] === 1);
      assert.ok(row?.[1].x === long, table);
    }
  }
});

test('verify finds what is held of no table, and counts that are off', async () => {
  const engine = await openEngine();
  const { manager, store } = engine;
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  await manager.apply([b.write({ pk: [1], set: { x: 0 } })]);
  await refuse(engine, a, a.write({ pk: [1], set: { x: 'bad' } }));
  assert.deepEqual(await findingsOf(store), []);
  await store.exclusive(async (transaction) => {
    for await (const entries of transaction.iterate(kindRange('h'))) {
      for (const [key, value] of entries) {
        transaction.delete(key);
        transaction.put(heldKey(77, '1'), value);
      }
    }
    transaction.put(siteKey(b.siteId), Buffer.from('{"heldBytes":7}'));
  });
  const findings = await findingsOf(store);
  assert.equal(findings.length, 2, findings.join('\n'));
  assert.match(findings.join('\n'), /is a held row of a table that is not there/);
  assert.match(findings.join('\n'), /counts 7 bytes of held rows, not 0/);
});
