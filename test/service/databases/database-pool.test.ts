import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SyncError } from '../../../src/errors/sync-error.ts';
import type { DatabasePool } from '../../../src/service/databases/database-pool.ts';
import { Device } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { readAll } from '../../support/engine.ts';
import { createTestPool } from '../support.ts';

const IDLE_CLOSE_MS = 1000;

/** Long enough for all that doesn't wait for a timer. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

async function touch(pool: DatabasePool, ...ids: string[]): Promise<void> {
  for (const id of ids) (await pool.acquire(id)).release();
}

function mockTimers(t: TestContext): (ms: number) => void {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return (ms) => t.mock.timers.tick(ms);
}

test('a database is opened when it is asked for, once, and shared', async () => {
  const { pool, storage } = createTestPool();
  assert.deepEqual([pool.size, storage.events], [0, []]);
  const [one, other] = await Promise.all([pool.acquire('a'), pool.acquire('a')]);
  assert.equal(one.manager, other.manager);
  assert.equal(one.sessions, other.sessions);
  assert.equal((await pool.acquire('a')).manager, one.manager);
  assert.deepEqual(storage.events, ['open a']);
  assert.deepEqual([...pool.open()].length, 1);
});

test('an id that is none is refused before anything is opened', async () => {
  const { pool, storage } = createTestPool();
  await assert.rejects(pool.acquire('../a'), { code: 'INVALID_DATABASE_ID' });
  assert.deepEqual([pool.size, storage.events], [0, []]);
});

test('a database that nobody holds is closed after storage.idleCloseMs, and not before', async (t) => {
  const tick = mockTimers(t);
  const { pool, storage } = createTestPool({ idleCloseMs: IDLE_CLOSE_MS });
  const [held, other] = [await pool.acquire('a'), await pool.acquire('a')];
  held.release();
  held.release();
  tick(IDLE_CLOSE_MS);
  await turns();
  assert.equal(pool.size, 1, 'the other still holds it');
  const closed = storage.closed('a');
  other.release();
  tick(IDLE_CLOSE_MS - 1);
  await turns();
  assert.equal(pool.size, 1);
  tick(1);
  await closed;
  assert.equal(pool.size, 0);
});

test('whoever uses it meanwhile keeps it open, and the time starts anew', async (t) => {
  const tick = mockTimers(t);
  const { pool, storage } = createTestPool({ idleCloseMs: IDLE_CLOSE_MS });
  await touch(pool, 'a');
  tick(IDLE_CLOSE_MS - 1);
  await touch(pool, 'a');
  tick(IDLE_CLOSE_MS - 1);
  await turns();
  assert.deepEqual(storage.events, ['open a']);
  const closed = storage.closed('a');
  tick(1);
  await closed;
});

test('an idle database is closed even when it cannot be tidied up', async (t) => {
  const tick = mockTimers(t);
  const { pool, storage } = createTestPool({ idleCloseMs: IDLE_CLOSE_MS });
  await touch(pool, 'a');
  storage.beforeCommit = () => {
    throw new SyncError('STORE_UNAVAILABLE', 'the disk is full');
  };
  tick(IDLE_CLOSE_MS);
  await turns();
  assert.deepEqual(storage.events, ['open a', 'close a']);
});

test('beyond storage.maxOpenDatabases the one that was unused longest makes room', async () => {
  const { pool, storage } = createTestPool({ maxOpenDatabases: 3 });
  await touch(pool, 'a', 'b', 'c', 'a');
  const closed = storage.closed('b');
  await touch(pool, 'd');
  await closed;
  assert.equal(pool.size, 3);
  assert.deepEqual(
    storage.events.filter((event) => event.startsWith('close')),
    ['close b'],
  );
});

test('when all that may be open are in use, the next is told to come again', async () => {
  const { pool, storage } = createTestPool({ maxOpenDatabases: 2 });
  const [a] = [await pool.acquire('a'), await pool.acquire('b')];
  await assert.rejects(pool.acquire('c'), (error) => {
    assert.ok(error instanceof SyncError);
    assert.equal(error.code, 'OVERLOADED');
    assert.match(error.message, /storage\.maxOpenDatabases \(2\)/);
    return Number(error.retryAfterMs) > 0;
  });
  assert.deepEqual(storage.events, ['open a', 'open b']);
  await pool.acquire('b');
  a.release();
  await pool.acquire('c');
  assert.equal(pool.size, 2);
});

test('a database that is asked for while it closes is opened again, with its data', async () => {
  const { pool, storage } = createTestPool({ maxOpenDatabases: 1 });
  const device = new Device(1);
  const lease = await pool.acquire('a');
  await lease.manager.apply([device.write({ pk: [1], set: { x: 1 } })]);
  lease.release();
  const gate = deferred();
  const closing = deferred();
  storage.beforeClose = () => {
    closing.resolve();
    return gate.promise;
  };
  await touch(pool, 'b');
  await closing.promise;
  const again = pool.acquire('a');
  assert.deepEqual(storage.events, ['open a', 'open b'], 'it waits for the close');
  gate.resolve();
  const { manager } = await again;
  const order = storage.events.filter((event) => event.endsWith(' a'));
  assert.deepEqual(order, ['open a', 'close a', 'open a']);
  assert.equal((await readAll(manager)).length, 1);
});

test('an opening that fails is reported with a code to all who asked, and tried again', async () => {
  const { pool, storage } = createTestPool();
  const cause = new Error('EMFILE at /secret');
  storage.beforeOpen = () => {
    throw cause;
  };
  const outcomes = await Promise.allSettled([pool.acquire('a'), pool.acquire('a')]);
  for (const outcome of outcomes) {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof SyncError);
    assert.equal(outcome.reason.code, 'STORE_UNAVAILABLE');
    assert.equal(outcome.reason.cause, cause);
    assert.doesNotMatch(outcome.reason.message, /secret/);
  }
  assert.equal(pool.size, 0, 'it takes no place');
  storage.beforeOpen = () => {
    throw new SyncError('STORE_FORMAT', 'of another version');
  };
  await assert.rejects(pool.acquire('a'), { code: 'STORE_FORMAT' });
  storage.beforeOpen = () => undefined;
  assert.equal((await pool.acquire('a')).id, 'a');
});

test('a database that cannot be set up leaves its store closed', async () => {
  const { pool, storage } = createTestPool();
  storage.beforeCommit = () => {
    throw new SyncError('STORE_UNAVAILABLE', 'read only');
  };
  await assert.rejects(pool.acquire('a'), { code: 'STORE_UNAVAILABLE' });
  assert.deepEqual(storage.events, ['open a', 'close a']);
  storage.beforeCommit = () => undefined;
  await pool.acquire('a');
});

test('closing closes all, though they are held or still being opened', async () => {
  const { pool, storage } = createTestPool();
  const { manager } = await pool.acquire('a');
  const gate = deferred();
  storage.beforeOpen = () => gate.promise;
  const opening = pool.acquire('b').catch((error: unknown) => error);
  const closed = pool.close();
  await assert.rejects(pool.acquire('c'), { code: 'SHUTTING_DOWN' });
  gate.resolve();
  await closed;
  await opening;
  assert.deepEqual(storage.events.toSorted(), ['close a', 'close b', 'open a', 'open b']);
  assert.equal(pool.size, 0);
  await assert.rejects(manager.apply([new Device(1).write({ pk: [1], set: { x: 1 } })]), {
    code: 'SHUTTING_DOWN',
  });
});

function refuseToCommit(): never {
  throw new SyncError('STORE_UNAVAILABLE', 'the disk is full');
}

test('after a failed write the next who asks gets the database anew, with all that was acknowledged', async () => {
  const { pool, storage } = createTestPool();
  const device = new Device(1);
  const { manager } = await pool.acquire('a');
  await manager.apply([device.write({ pk: [1], set: { x: 1 } })]);
  storage.beforeCommit = refuseToCommit;
  const closed = storage.closed('a');
  await assert.rejects(manager.apply([device.write({ pk: [2], set: { x: 2 } })]), {
    code: 'STORE_UNAVAILABLE',
  });
  await closed;
  storage.beforeCommit = () => undefined;
  const again = await pool.acquire('a');
  assert.equal((await readAll(again.manager)).length, 1);
  await again.manager.apply([device.write({ pk: [3], set: { x: 3 } })]);
});

test('after a failed write of a store that recovers, the database goes on as it is', async () => {
  const { pool, storage } = createTestPool();
  storage.recovers = true;
  const device = new Device(1);
  const { manager } = await pool.acquire('a');
  storage.beforeCommit = refuseToCommit;
  await assert.rejects(manager.apply([device.write({ pk: [1], set: { x: 1 } })]), {
    code: 'STORE_UNAVAILABLE',
  });
  storage.beforeCommit = () => undefined;
  await turns();
  assert.equal((await manager.apply([device.write({ pk: [2], set: { x: 2 } })])).applied, 1);
  assert.equal((await pool.acquire('a')).manager, manager);
  assert.deepEqual(storage.events, ['open a']);
});

test('writes that were still waiting when it failed do not harm the one opened after it', async () => {
  const { pool, storage } = createTestPool();
  const device = new Device(1);
  const { manager } = await pool.acquire('a');
  const reached = deferred();
  const gate = deferred();
  let commits = 0;
  storage.beforeCommit = async () => {
    if (commits++ > 0) return;
    reached.resolve();
    await gate.promise;
    refuseToCommit();
  };
  const first = manager.apply([device.write({ pk: [1], set: { x: 1 } })]);
  await reached.promise;
  const second = manager.apply([device.write({ pk: [2], set: { x: 2 } })]);
  gate.resolve();
  await Promise.all(
    [first, second].map((applying) => assert.rejects(applying, { code: 'STORE_UNAVAILABLE' })),
  );
  assert.equal(commits, 1);
  const opening = pool.acquire('a');
  const again = await opening;
  const { applied } = await again.manager.apply([device.write({ pk: [3], set: { x: 3 } })]);
  assert.equal(applied, 1);
  assert.equal(pool.size, 1);
  const order = storage.events.filter((event) => event.endsWith(' a'));
  assert.deepEqual(order, ['open a', 'close a', 'open a']);
});

test('one user does not hold all databases; others, and those it holds, go on', async () => {
  const { pool } = createTestPool({ maxOpenDatabases: 4 });
  const ids = ['a', 'b', 'c'];
  for (const id of ids) await pool.acquire(id, 'user eve');
  await assert.rejects(pool.acquire('d', 'user eve'), {
    code: 'OVERLOADED',
    limit: 'limits.sharePerUser',
  });
  const again = await pool.acquire('a', 'user eve');
  const ben = await pool.acquire('d', 'user ben');
  assert.equal(pool.refusal, undefined, 'eve gives way to anybody else');
  ben.release();
  again.release();
  await assert.rejects(pool.acquire('d', 'user eve'), { limit: 'limits.sharePerUser' });
});

test('when all are in use, who has most gives up what only it has used, for longest not again', async () => {
  const { pool, storage } = createTestPool({ maxOpenDatabases: 4 });
  const shared = [
    await pool.acquire('shared', 'user eve'),
    await pool.acquire('shared', 'user ben'),
  ];
  const older = await pool.acquire('older', 'user eve');
  await pool.acquire('newer', 'user eve');
  await pool.acquire('other', 'user ben');
  const used = await pool.acquire('older', 'user eve');
  const device = new Device(1);
  const writing = older.manager.apply([device.write({ pk: [1], set: { x: 1 } })]);
  const closed = storage.closed('newer');
  await pool.acquire('ann', 'user ann');
  await closed;
  assert.equal((await writing).applied, 1);
  assert.deepEqual([...pool.open()].map(({ id }) => id).sort(), [
    'ann',
    'older',
    'other',
    'shared',
  ]);
  // Nobody has two more than who would come next.
  assert.equal(pool.refusal?.code, undefined);
  await assert.rejects(pool.acquire('again', 'user eve'), { limit: 'storage.maxOpenDatabases' });
  await assert.rejects(pool.acquire('more', 'user ann'), { limit: 'storage.maxOpenDatabases' });
  for (const lease of [...shared, older, used]) lease.release();
});

test('who asks for one database after another closes only what is theirs', async () => {
  const { pool } = createTestPool({ maxOpenDatabases: 4 });
  for (let i = 0; i < 3; i++) (await pool.acquire(`eve-${i}`, 'user eve')).release();
  (await pool.acquire('mine', 'user ben')).release();
  for (let i = 3; i < 50; i++) (await pool.acquire(`eve-${i}`, 'user eve')).release();
  assert.ok([...pool.open()].some(({ id }) => id === 'mine'));
});

test('when too many files are open, databases that nobody uses are closed to make room', async () => {
  const { pool, storage } = createTestPool();
  await touch(pool, 'a', 'b');
  const held = await pool.acquire('c');
  const isOpen = (id: string) =>
    storage.events.filter((event) => event === `open ${id}`).length >
    storage.events.filter((event) => event === `close ${id}`).length;
  const open = () => ['a', 'b', 'c', 'd', 'e'].filter(isOpen).length;
  let filesMax = 2;
  storage.beforeOpen = () => {
    if (open() >= filesMax) throw Object.assign(new Error('open'), { code: 'EMFILE' });
  };
  await pool.acquire('d');
  assert.deepEqual(['a', 'b', 'c', 'd'].filter(isOpen), ['c', 'd']);
  await assert.rejects(pool.acquire('e'), { code: 'STORE_UNAVAILABLE' });
  assert.equal(pool.refusal?.code, 'STORE_UNAVAILABLE', 'nobody gets a database now');
  filesMax = 3;
  await pool.acquire('e');
  assert.equal(pool.refusal, undefined);
  held.release();
});
