/** What becomes of each write, by what a real server answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc, hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import { SyncError } from '../../../src/errors/sync-error.ts';
import { judgeChanges } from '../../../src/hooks/verdicts/judge-changes.ts';
import { startCoordinator, type TestOwner } from '../../../src/testing/index.ts';
import { BatchAnswer } from '../src/answers.ts';
import { httpTransport } from '../src/http/index.ts';
import type { SyncClient, SyncClientOptions, Transaction } from '../src/index.ts';
import type { Change } from '../src/protocol/messages.ts';
import { memoryStore } from '../src/stores/memory.ts';
import { impatient, startClient, synced, until, untilTable } from './support/client.ts';
import { ScriptedServer } from './support/scripted-server.ts';

const start = (t: TestOwner, url: string, options: Partial<SyncClientOptions> = {}) =>
  startClient(t, { url, environment: impatient(), ...options });

/** Of a device whose clock is a little ahead, so that what it writes at the same time wins. */
const later = () => ({ ...impatient(), now: () => Date.now() + 8_000 });

function set(client: SyncClient, id: number, title: string) {
  return client.transact((tx) => {
    tx.table('tasks').set([id], { title });
  });
}

test('a write that lost is superseded, with what won, and can be restored', async (t) => {
  const server = await startCoordinator(t);
  const [ann, ben] = [
    await start(t, server.wsUrl),
    await start(t, server.wsUrl, { environment: later() }),
  ];
  await synced(ann);
  ann.disconnect();
  const beaten = set(ann, 1, 'by ann');
  await set(ben, 1, 'by ben').settled;
  ann.connect();
  assert.equal(await beaten.settled, 'superseded');
  assert.equal(ann.table('tasks').get([1])?.title, 'by ben');
  const [outcome] = ann.outcomes.list();
  assert.equal(outcome?.state, 'superseded');
  assert.equal(outcome?.changes[0]?.value, 'by ann');
  assert.equal(outcome?.changes[0]?.winner?.value, 'by ben');
  assert.equal(ann.table('tasks').status([1]).outcomes.length, 1);
  assert.equal(await outcome?.restore().settled, 'acknowledged');
  assert.deepEqual(ann.outcomes.list(), []);
  await untilTable(ben, 'tasks', ([row]) => Reflect.get(row?.row ?? {}, 'title') === 'by ann');
});

test('a write to a row that was deleted meanwhile is superseded by the deletion', async (t) => {
  const server = await startCoordinator(t);
  const [ann, ben] = [
    await start(t, server.wsUrl),
    await start(t, server.wsUrl, { environment: later() }),
  ];
  await set(ann, 1, 'to be deleted').settled;
  await untilTable(ben, 'tasks', (rows) => rows.length === 1);
  ann.disconnect();
  const beaten = set(ann, 1, 'edited offline');
  await ben.transact((tx) => {
    tx.table('tasks').delete([1]);
  }).settled;
  ann.connect();
  assert.equal(await beaten.settled, 'superseded');
  assert.equal(ann.table('tasks').get([1]), undefined);
  const [change] = ann.outcomes.list()[0]?.changes ?? [];
  assert.ok(change?.winner !== undefined && !('value' in change.winner));
});

test('a write that came too late for a deletion of which nobody tells is superseded all the same', async (t) => {
  const server = await startCoordinator(t);
  const ann = await start(t, server.wsUrl, { connect: false });
  const ben = await start(t, server.wsUrl, { environment: later() });
  const write = set(ann, 1, 'offline');
  const table = { type: 'create_table', table: 'old', ddl: 'create table old' } as const;
  const ofDropped = ann.transact((tx) => tx.table('old').set([1], { title: 'offline' }));
  await set(ben, 1, 'to be deleted').settled;
  ben.transact((tx) => tx.table('tasks').delete([1]));
  // It lives again: a snapshot leaves out that it was deleted.
  ben.transact((tx) => tx.table('tasks').set([1], { done: true }));
  ben.migrate(table);
  ben.migrate({ type: 'drop_table', table: 'old', ddl: 'drop table old' });
  await ben.migrate({ ...table, schemaVersion: 9 }).settled;
  ann.connect();
  assert.equal(await write.settled, 'superseded');
  assert.equal(await ofDropped.settled, 'superseded');
  await synced(ann);
  assert.deepEqual(ann.table('tasks').get([1]), { done: true });
  assert.deepEqual(ann.table('old').all(), []);
  const [outcome, ofTable] = ann.outcomes.list();
  assert.match(outcome?.reason ?? '', /deleted/);
  const [change] = outcome?.changes ?? [];
  assert.ok(change?.winner !== undefined && !('value' in change.winner));
  await Promise.all([outcome?.restore().settled, ofTable?.restore().settled]);
  assert.deepEqual(ann.table('tasks').get([1]), { title: 'offline', done: true });
  await untilTable(ben, 'old', ([row]) => Reflect.get(row?.row ?? {}, 'title') === 'offline');
});

for (const onReject of ['keep', 'revert'] as const) {
  test(`a write that a hook rejects is rolled back, with onReject: ${onReject}`, async (t) => {
    const server = await startCoordinator(t, {
      config: { hooks: { onReject } },
      hooks: {
        onBeforeApplyChanges: (_client, changes) =>
          judgeChanges(changes, (change) =>
            change.type === 'column' && change.value === 'bad'
              ? { reason: 'no bad titles', code: 'TITLE' }
              : true,
          ),
      },
    });
    const entries = new Map();
    const ann = await start(t, server.wsUrl, { store: memoryStore(entries) });
    await set(ann, 1, 'good').settled;
    const write = ann.transact((tx) => {
      tx.table('tasks').set([1], { title: 'bad', done: true });
    });
    assert.equal(ann.table('tasks').get([1])?.title, 'bad');
    assert.equal(await write.settled, 'rejected');
    assert.deepEqual(ann.table('tasks').get([1]), { title: 'good', done: true });
    const [outcome, ...others] = ann.outcomes.list();
    assert.deepEqual(others, []);
    assert.equal(outcome?.code, 'TITLE');
    assert.equal(outcome?.reason, 'no bad titles');
    assert.deepEqual(
      outcome?.changes.map(({ column, value }) => ({ column, value })),
      [{ column: 'title', value: 'bad' }],
    );
    // Rejected again, it is one outcome, not two.
    assert.equal(await outcome?.restore().settled, 'rejected');
    assert.equal(ann.outcomes.list().length, 1);
    assert.equal(ann.table('tasks').get([1])?.title, 'good');
    await ann.close();
    const again = await start(t, server.wsUrl, { store: memoryStore(entries) });
    const [kept] = again.outcomes.list();
    assert.equal(kept?.reason, 'no bad titles');
    kept?.dismiss();
    assert.deepEqual(again.outcomes.list(), []);
    await again.close();
    const last = await start(t, server.wsUrl, { store: memoryStore(entries) });
    assert.deepEqual(last.outcomes.list(), []);
    assert.equal(last.table('tasks').get([1])?.title, 'good');
  });
}

test('an outcome that was restored just before the app ended is not there again, and its write is sent', async (t) => {
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, ({ hlc }) => hlc.wallTime > allowedFrom || { reason: 'not yet' }),
    },
  });
  let allowedFrom = BigInt(Date.now()) + 1_000_000n;
  const entries = new Map();
  const ann = await start(t, server.wsUrl, { store: memoryStore(entries) });
  assert.equal(await set(ann, 1, 'later').settled, 'rejected');
  ann.disconnect();
  ann.outcomes.list()[0]?.restore();
  await ann.close();
  allowedFrom = 0n;
  const again = await start(t, server.wsUrl, { store: memoryStore(entries) });
  assert.deepEqual(again.outcomes.list(), []);
  await synced(again);
  assert.equal(again.table('tasks').get([1])?.title, 'later');
  assert.deepEqual(again.outcomes.list(), []);
});

test('what is restored of a transaction is written in the order that it had', async (t) => {
  let isBad = false;
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, (change) => !isBad || change.type !== 'column' || { reason: 'no' }),
    },
  });
  const ann = await start(t, server.wsUrl);
  const ben = await start(t, server.wsUrl, { environment: later() });
  await set(ann, 1, 'old').settled;
  await untilTable(ben, 'tasks', (rows) => rows.length === 1);
  ann.disconnect();
  const write = ann.transact((tx) => tx.table('tasks').delete([1]).set([1], { title: 'new' }));
  await ben.transact((tx) => tx.table('tasks').delete([1])).settled;
  isBad = true;
  ann.connect();
  assert.equal(await write.settled, 'rejected');
  isBad = false;
  const [outcome] = ann.outcomes.list();
  assert.deepEqual(
    outcome?.changes.map(({ column }) => column),
    [undefined, 'title'],
  );
  await outcome?.restore().settled;
  assert.deepEqual(ann.table('tasks').get([1]), { title: 'new' });
});

test('of a large transaction all that was lost with its table is in the outcome, and is restored', async (t) => {
  const server = await startCoordinator(t);
  const ann = await start(t, server.wsUrl);
  const ben = await start(t, server.wsUrl, { environment: later() });
  const table = { type: 'create_table', table: 'old', ddl: 'create table old' } as const;
  await ann.migrate(table).settled;
  ann.disconnect();
  const write = ann.transact((tx) => {
    for (let i = 0; i < 1500; i++) tx.table('old').set([i], { n: i });
  });
  await ben.migrate({ type: 'drop_table', table: 'old', ddl: 'drop table old' }).settled;
  await ben.migrate({ ...table, schemaVersion: 9 }).settled;
  ann.connect();
  assert.equal(await write.settled, 'superseded');
  const [outcome] = ann.outcomes.list();
  assert.equal(outcome?.changes.length, 1500);
  await outcome?.restore().settled;
  assert.equal(ann.table('old').all().length, 1500);
});

test('of a large transaction all that newer edits have beaten is in the outcome, before these are known', async (t) => {
  const server = await startCoordinator(t);
  const transport = httpTransport({ pollMs: 1_000_000 });
  const ann = await start(t, server.wsUrl, { transport });
  await synced(ann);
  const ben = await start(t, server.wsUrl, { environment: later() });
  const all = (by: string) => (tx: Transaction) => {
    for (let i = 0; i < 1500; i++) tx.table('tasks').set([i], { by });
  };
  await ben.transact(all('ben')).settled;
  const write = ann.transact(all('ann'));
  assert.equal(await write.settled, 'superseded');
  assert.equal(ann.outcomes.list()[0]?.changes.length, 1500);
  assert.ok(
    ann
      .table('tasks')
      .all()
      .every(({ row }) => row.by !== 'ann'),
  );
});

test('the time for an answer grows with the number of its rejections, not with their square', () => {
  const hlc = encodeHlc({ wallTime: 1n, counter: 0, siteId: new Uint8Array(16), opSeq: 0 });
  const place = { schema: 'main', table: 't', column: 'a' };
  const numbers = Array.from({ length: 500 }, (_, i) => i);
  let looks = 0;
  const rejected = numbers.map((i) => ({
    ...place,
    reason: 'no',
    get pk() {
      looks++;
      return [i];
    },
  }));
  const changes = numbers.map((i): Change => {
    return { type: 'column', ...place, pk: [i], value: 1, hlc };
  });
  const changeSet = { siteId: '', transactionId: hlc, hlc, changes };
  const answer = new BatchAnswer({
    applied: 0,
    skipped: 0,
    conflicts: 0,
    transactions: 1,
    rejected,
  });
  const { outcome } = answer.of([hlc, changeSet], '', 0, () => undefined);
  assert.equal(outcome?.changes.length, 500);
  assert.ok(looks <= 2 * 500, `${looks} looks`);
});

test('a hook that fails, and one that asks for a pause, only delay a write', async (t) => {
  const refusals = [
    new Error('the hook is broken'),
    new SyncError('RATE_LIMITED', 'slower', { retryAfterMs: 30 }),
    new SyncError('OVERLOADED', 'too much', { retryAfterMs: 30 }),
  ];
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) => {
        const refusal = refusals.shift();
        if (refusal !== undefined) throw refusal;
        return { approved: changes, rejected: [] };
      },
    },
  });
  const ann = await start(t, server.wsUrl);
  assert.equal(await set(ann, 1, 'at last').settled, 'acknowledged');
  assert.deepEqual(refusals, []);
  assert.deepEqual(ann.outcomes.list(), []);
});

for (const { name, aheadMs } of [
  { name: 'three hours ahead', aheadMs: 3 * 3_600_000 },
  { name: 'three hours behind', aheadMs: -3 * 3_600_000 },
]) {
  test(`a device whose clock is ${name} keeps the order of its writes, and is not beaten by older ones`, async (t) => {
    const server = await startCoordinator(t);
    const [ann, ben] = [
      await start(t, server.wsUrl, {
        connect: false,
        environment: { ...impatient(), now: () => Date.now() + aheadMs },
      }),
      await start(t, server.wsUrl),
    ];
    const writes = [1, 2, 3].map((i) => set(ann, 1, `offline ${i}`));
    ann.transact((tx) => {
      tx.table('log').set([1], { text: 'kept' });
    });
    ann.connect();
    const fates = await Promise.all(writes.map(({ settled }) => settled));
    assert.deepEqual(fates, ['acknowledged', 'acknowledged', 'acknowledged']);
    // It goes by the server's clock from now on.
    const fresh = set(ann, 9, 'fresh');
    assert.ok(Math.abs(hlcWallTimeMs(fresh.id) - Date.now()) < 60_000);
    assert.equal(await fresh.settled, 'acknowledged');
    await untilTable(ben, 'tasks', ([row]) => Reflect.get(row?.row ?? {}, 'title') === 'offline 3');
    await set(ben, 1, 'by ben').settled;
    await untilTable(ann, 'tasks', ([row]) => Reflect.get(row?.row ?? {}, 'title') === 'by ben');
    const last = set(ann, 1, 'after ben');
    assert.equal(await last.settled, 'acknowledged');
    await untilTable(ben, 'tasks', ([row]) => Reflect.get(row?.row ?? {}, 'title') === 'after ben');
    assert.deepEqual(ann.outcomes.list(), []);
  });
}

test('one guilty write among a hundred is found, and the others are taken', async (t) => {
  const server = await startCoordinator(t);
  const ann = await start(t, server.wsUrl, { connect: false });
  const writes = Array.from({ length: 100 }, (_, i) =>
    ann.transact((tx) => {
      // A name that is too long for the server.
      tx.table(i === 62 ? 'x'.repeat(2000) : 'tasks').set([i], { title: `task ${i}` });
    }),
  );
  ann.connect();
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  assert.equal(fates.indexOf('rejected'), 62);
  assert.equal(fates.filter((fate) => fate === 'acknowledged').length, 99);
  const [outcome, ...others] = ann.outcomes.list();
  assert.deepEqual(others, []);
  assert.equal(outcome?.code, 'MESSAGE_ERROR');
  assert.equal(outcome?.changes.length, 1);
});

test('batches that are too large are halved, and a write that is too large alone becomes an outcome', async (t) => {
  const server = await startCoordinator(t, { config: { limits: { messageBytes: 65_536 } } });
  const ann = await start(t, server.wsUrl, { connect: false });
  const sizes = [...Array.from({ length: 60 }, () => 3_000), 200_000, 10, 3_000];
  const writes = sizes.map((size, i) => set(ann, i, 'x'.repeat(size)));
  ann.connect();
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  assert.equal(fates.indexOf('rejected'), 60);
  assert.equal(fates.filter((fate) => fate === 'acknowledged').length, 62);
  assert.equal(ann.outcomes.list()[0]?.code, 'TOO_LARGE');
  assert.equal(ann.status.pending, 0);
});

test('a value that is too large alone becomes an outcome, and the queue goes on', async (t) => {
  const server = await startCoordinator(t, { config: { limits: { valueBytes: 262_144 } } });
  const ann = await start(t, server.wsUrl, { connect: false });
  const writes = [10, 300_000, 10].map((size, i) => set(ann, i, 'x'.repeat(size)));
  ann.connect();
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  assert.deepEqual(fates, ['acknowledged', 'rejected', 'acknowledged']);
  assert.equal(ann.outcomes.list()[0]?.code, 'TOO_LARGE');
});

test('a write of too many values becomes an outcome, and what is many together is halved', async (t) => {
  const server = await startCoordinator(t, { config: { limits: { valuesPerMessage: 2000 } } });
  const ann = await start(t, server.wsUrl, { connect: false });
  const small = Array.from({ length: 300 }, (_, i) => set(ann, i, 'small'));
  const large = ann.transact((tx) => {
    tx.table('tasks').set([1], { list: Array.from({ length: 3000 }, () => 1) });
  });
  const last = set(ann, 300, 'last');
  ann.connect();
  assert.equal(await large.settled, 'rejected');
  assert.equal(await last.settled, 'acknowledged');
  const fates = await Promise.all(small.map(({ settled }) => settled));
  assert.deepEqual(new Set(fates), new Set(['acknowledged']));
  assert.deepEqual(
    ann.outcomes.list().map(({ code }) => code),
    ['TOO_LARGE'],
  );
});

test('a batch that always loses the connection is halved, and the rest of the queue gets through', async (t) => {
  const server = await ScriptedServer.start(t);
  server.script = (message, socket) => {
    if (message.type !== 'apply_changes' || message.changes.length < 8) return false;
    socket.terminate();
    return true;
  };
  const ann = await start(t, server.url, { connect: false });
  const writes = Array.from({ length: 30 }, (_, i) => set(ann, i, `task ${i}`));
  ann.connect();
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  assert.deepEqual(new Set(fates), new Set(['acknowledged']));
  assert.equal(server.stored.size, 30);
});

test('a batch whose answer was lost is sent again, and has its effect once', async (t) => {
  const server = await ScriptedServer.start(t);
  let isFirst = true;
  server.script = (message, socket) => {
    if (message.type !== 'apply_changes' || !isFirst) return false;
    isFirst = false;
    for (const changeSet of message.changes) server.stored.set(changeSet.transactionId, changeSet);
    socket.terminate();
    return true;
  };
  const ann = await start(t, server.url);
  const write = set(ann, 1, 'once');
  assert.equal(await write.settled, 'acknowledged');
  const [first, second] = server.batches;
  // The same dates: so it is known already where it was stored.
  assert.deepEqual(second?.changes, first?.changes);
  assert.equal(ann.status.pending, 0);
});

test('local writes stay on top while a snapshot replaces what is below', async (t) => {
  const server = await ScriptedServer.start(t);
  const ann = await start(t, server.url, { connect: false });
  const write = set(ann, 1, 'mine');
  server.script = (message, socket) => {
    if (message.type === 'apply_changes') return true;
    if (message.type !== 'get_changes' || server.countOf('get_changes') > 1) return false;
    const { requestId } = message;
    const error = { code: 'SNAPSHOT_REQUIRED', message: '', fatal: false, requestId };
    socket.send(JSON.stringify({ type: 'error', ...error }));
    return true;
  };
  ann.connect();
  await until(ann, ({ connection }) => connection === 'live');
  assert.equal(server.countOf('get_snapshot'), 2);
  assert.equal(ann.table('tasks').get([1])?.title, 'mine');
  assert.equal(write.state, 'local');
  server.script = () => false;
  ann.disconnect();
  ann.connect();
  assert.equal(await write.settled, 'acknowledged');
});
