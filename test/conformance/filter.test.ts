/** What one client may see: alike in answers, pushes and snapshots. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { Replica } from '../support/replica.ts';
import { startDeployment } from './deployment.ts';
import { eachTransport } from './each-transport.ts';

const [writer, seesAll, seesLittle] = [new Device(1), new Device(2), new Device(3)];

/** Without the table `secret`, rows whose key begins with `x`, the column `hidden`; salaries masked. */
function narrowed(changeSet: ChangeSet): ChangeSet {
  const changes = changeSet.changes
    .filter(({ table, pk }) => table !== 'secret' && !String(pk[0]).startsWith('x'))
    .filter((change) => change.type === 'delete' || change.column !== 'hidden')
    .map((change) =>
      change.type === 'column' && change.column === 'salary' ? { ...change, value: -1n } : change,
    );
  const schemaMigrations = changeSet.schemaMigrations.filter(({ table }) => table !== 'secret');
  return { ...changeSet, changes, schemaMigrations };
}

const filter = (): CoordinatorHooks => ({
  async onBeforeSendChanges(client, changeSets) {
    return siteIdToText(client.siteId) === seesLittle.siteId
      ? changeSets.map(narrowed)
      : changeSets;
  },
});

const history = () => [
  writer.migrate('create_table', 'secret'),
  writer.migrate('create_table', 't'),
  writer.write({
    pk: ['a'],
    set: { name: 'Ann', salary: 5, hidden: 'h', photo: { __bin: 'AAEC' } },
  }),
  writer.write({ pk: ['x1'], set: { name: 'row' } }),
  writer.write({ table: 'secret', pk: [1], set: { name: 'table' } }),
  writer.write({ pk: ['b'], set: { name: 'Ben' } }, { pk: ['x2'], set: { name: 'row' } }),
  writer.write({ pk: ['b'], delete: true }, { table: 'secret', pk: [2], delete: true }),
];

const SEEN = {
  '["main","t","\\"a\\""]': { name: 'Ann', photo: { __bin: 'AAEC' }, salary: { __bigint: '-1' } },
};

function assertNothingLeaks(sent: unknown): void {
  assert.doesNotMatch(JSON.stringify(sent), /secret|"x[12]"|hidden|"value":5\b|prior/);
}

eachTransport(
  'an answer and a snapshot hold what the client may see, and no more',
  async ({ join }) => {
    const changeSets = history().map((set) => ({
      ...set,
      changes: set.changes.map((change) =>
        change.type === 'delete'
          ? { ...change, priorRow: ['secret'] }
          : { ...change, priorValue: 'secret', priorHlc: set.hlc },
      ),
    }));
    await (await join(writer)).apply(...changeSets);
    const little = await join(seesLittle);
    const delta = await little.changesSince();
    const chunks = await little.snapshot();
    assertNothingLeaks(delta);
    assertNothingLeaks(chunks);
    const [fromDelta, fromSnapshot] = [new Replica(), new Replica()];
    fromDelta.apply(delta);
    fromSnapshot.load(chunks);
    assert.deepEqual(fromDelta.contents(), SEEN);
    assert.deepEqual(fromSnapshot.contents(), SEEN);
    assert.deepEqual(fromSnapshot.tombstones(), fromDelta.tombstones());

    const all = new Replica();
    all.apply(await (await join(seesAll)).changesSince());
    assert.equal(Object.keys(all.contents()).length, 4);
  },
  { hooks: filter },
);

eachTransport(
  'the counts of a snapshot are of what is sent, and its parts are in order',
  async ({ join }) => {
    await (await join(writer)).apply(...history());
    const chunks = await (await join(seesLittle)).snapshot();
    const types = chunks.map(({ type }) => type);
    assert.deepEqual(types, [
      ...['header', 'schema-migration', 'table-start', 'column-versions', 'table-end'],
      ...['tombstone', 'footer'],
    ]);
    const [header, , , cells, end] = chunks;
    assert.equal(header?.migrationCount, 1);
    assert.deepEqual([[cells?.entries].flat().length, end?.entriesWritten], [3, 3]);
    const footer = chunks.at(-1);
    assert.deepEqual(
      [footer?.totalTables, footer?.totalEntries, footer?.totalMigrations],
      [1, 3, 1],
    );
  },
  { hooks: filter },
);

eachTransport(
  'who may see nothing is brought to the end all the same, and asks for nothing twice',
  async ({ join }) => {
    const author = await join(writer);
    for (let i = 0; i < 30; i++) {
      await author.apply(writer.write({ table: 'secret', pk: [i], set: { a: i, b: i } }));
    }
    const little = await join(seesLittle);
    const carried = await little.changesSince();
    assert.deepEqual(
      carried.flatMap(({ changes }) => changes),
      [],
    );
    const watermark = carried.at(-1)?.hlc;
    assert.ok(watermark !== undefined, 'a position is carried');
    await author.apply(writer.write({ pk: ['a'], set: { name: 'seen' } }));
    const next = await little.changesSince(watermark);
    assert.deepEqual(
      next.flatMap(({ changes }) => changes.map(({ table }) => table)),
      ['t'],
    );
  },
  { config: { sync: { batchSize: 5 } }, hooks: filter },
);

test('pushes are filtered for one and whole for another, in the order of positions', async (t) => {
  const server = await startDeployment(t, { config: { storage: 'memory:' }, hooks: filter() });
  const [author, all, little] = await Promise.all(
    [writer, seesAll, seesLittle].map((device) => TestClient.join(server.wsUrl, device, t)),
  );
  assert.ok(author && all && little);
  const sets = Array.from({ length: 20 }, (_, i) =>
    writer.write({ pk: [i], set: { n: 1 } }, { table: 'secret', pk: [i], set: { n: 1 } }),
  );
  for (const set of sets) author.apply(set);
  const received: string[] = [];
  while (received.length < sets.length) {
    const pushed = await little.nextPush();
    assertNothingLeaks(pushed);
    received.push(...pushed.map(({ transactionId }) => transactionId));
  }
  assert.deepEqual(
    received,
    sets.map(({ transactionId }) => transactionId),
  );
  let count = 0;
  while (count < 2 * sets.length) {
    count += (await all.nextPush()).reduce((sum, { changes }) => sum + changes.length, 0);
  }
});

test('a hook that fails sends nothing; the session is to come back, others are undisturbed', async (t) => {
  let isBroken = true;
  const server = await startDeployment(t, {
    config: { storage: 'memory:' },
    hooks: {
      onBeforeSendChanges(client, changeSets) {
        const isVictim = siteIdToText(client.siteId) === seesLittle.siteId;
        if (isBroken && isVictim) throw new Error('broken');
        return changeSets;
      },
    },
  });
  const author = await TestClient.join(server.wsUrl, writer, t);
  const victim = await TestClient.join(server.wsUrl, seesLittle, t);
  const other = await TestClient.join(server.wsUrl, seesAll, t);
  await author.apply(writer.write({ pk: [1], set: { n: 1 } }));
  assert.equal((await other.nextPush()).length, 1);
  assert.equal((await victim.next('error')).code, 'HOOK_FAILED');
  assert.equal((await victim.closed).code, 1013);
  assert.deepEqual(
    victim.log.filter(({ type }) => type === 'push_changes'),
    [],
  );

  const headers = { 'x-site-id': seesLittle.siteId };
  assert.equal((await fetch(`${server.httpUrl}/changes`, { headers })).status, 500);
  const snapshot = await (await fetch(`${server.httpUrl}/snapshot`, { headers })).text();
  assert.match(snapshot, /^\{"error":\{"code":"HOOK_FAILED"/m);
  assert.doesNotMatch(snapshot, /entries/);

  isBroken = false;
  const again = await TestClient.join(server.wsUrl, seesLittle, t);
  assert.equal((await again.changesSince()).length, 1);
});

test('a hook that adds or moves something is refused, and nothing of it is sent', async (t) => {
  const tricks: Record<string, (changeSet: ChangeSet) => ChangeSet> = {
    'another row': (set) => ({ ...set, changes: set.changes.map((c) => ({ ...c, pk: [9] })) }),
    'another table': (set) => ({ ...set, changes: set.changes.map((c) => ({ ...c, table: 'u' })) }),
    'a change twice': (set) => ({ ...set, changes: [...set.changes, ...set.changes] }),
    'another position': (set) => ({ ...set, hlc: { ...set.hlc, wallTime: set.hlc.wallTime + 1n } }),
    'no value': (set) => ({
      ...set,
      changes: set.changes.map((c) => ({ ...c, value: undefined }) as never),
    }),
  };
  let trick = (changeSet: ChangeSet) => changeSet;
  const server = await startDeployment(t, {
    config: { storage: 'memory:' },
    hooks: { onBeforeSendChanges: (_client, changeSets) => changeSets.map(trick) },
  });
  const author = await TestClient.join(server.wsUrl, writer, t);
  await author.apply(writer.write({ pk: [1], set: { n: 1 } }));
  const headers = { 'x-site-id': seesAll.siteId };
  const statusOf = async () => (await fetch(`${server.httpUrl}/changes`, { headers })).status;
  assert.equal(await statusOf(), 200);
  for (const [name, change] of Object.entries(tricks)) {
    trick = change;
    assert.equal(await statusOf(), name === 'a change twice' ? 200 : 500, name);
  }
});

test('what was decided under older credentials is not sent under newer ones', async (t) => {
  const asked: (() => void)[] = [];
  let isHeld = true;
  const server = await startDeployment(t, {
    config: { storage: 'memory:' },
    hooks: {
      // A token is a role; both are the same user's.
      onAuthenticate: ({ token, siteId }) =>
        siteId && { siteId, userId: 'ann', metadata: { role: token } },
      async onBeforeSendChanges({ metadata }, changeSets) {
        if (isHeld) await new Promise<void>((resolve) => asked.push(resolve));
        return metadata?.role === 'staff' ? changeSets : changeSets.map(narrowed);
      },
    },
  });
  const reader = await TestClient.join(server.wsUrl, { siteId: seesAll.siteId, token: 'staff' }, t);
  const author = await TestClient.join(server.wsUrl, { siteId: writer.siteId, token: 'staff' }, t);
  await author.apply(
    writer.write(
      { pk: ['a'], set: { name: 'x' } },
      { table: 'secret', pk: [1], set: { name: 'x' } },
    ),
  );
  while (asked.length === 0) await aMoment();
  reader.send({ type: 'authenticate', token: 'guest' });
  await reader.next('authenticated');
  isHeld = false;
  for (const release of asked) release();
  const pushed = await reader.nextPush();
  assertNothingLeaks(pushed);
  assert.deepEqual(pushed[0]?.changes.length, 1);

  const late = await TestClient.join(
    server.wsUrl,
    { siteId: new Device(5).siteId, token: 'staff' },
    t,
  );
  isHeld = true;
  asked.length = 0;
  const chunks = late.snapshot();
  while (asked.length === 0) await aMoment();
  late.send({ type: 'authenticate', token: 'guest' });
  await late.next('authenticated');
  isHeld = false;
  for (const release of asked) release();
  assertNothingLeaks(await chunks);
});
