import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatabaseLease } from '../../../src/service/databases/database-lease.ts';
import type { DatabasePool } from '../../../src/service/databases/database-pool.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { Device } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { openEngine } from '../../support/engine.ts';
import { createTestPool, type WatchedStorage } from '../support.ts';

/** A little more is a little less than what the long texts of these tests take besides. */
const UNIT = 100_000;
const FULL = { code: 'OVERLOADED', limit: 'limits.catalogBytes', retryAfterMs: 1000 };
const SHARE = { code: 'OVERLOADED', limit: 'limits.sharePerUser', retryAfterMs: 1000 };

/** With room for so many units of DDL. */
function createPool(units: number, sharePerUser = 100, storage?: WatchedStorage) {
  return createTestPool({}, { catalogBytes: (units + 0.5) * UNIT, sharePerUser }, storage);
}

const device = new Device(1, Date.now() - 60_000);
let indexes = 0;

/** Adds an index. @param units of its DDL */
async function grow(
  { manager }: Pick<DatabaseLease, 'manager'>,
  units: number,
  character = 'x',
): Promise<void> {
  const ddl = character.repeat(units * UNIT);
  await manager.apply([device.migrate('add_index', `i${indexes++}`, { ddl })]);
}

async function make(pool: DatabasePool, id: string, units: number, holder?: string) {
  const lease = await pool.acquire(id, holder);
  await grow(lease, units);
  return lease;
}

const unitsIn = ({ catalogBytes }: DatabasePool) => Math.round(catalogBytes / UNIT);
const openIn = (pool: DatabasePool) => [...pool.open()].map(({ id }) => id).sort();

test('a catalog counts what it holds, the same when it has grown and when it is read', async () => {
  const { pool, storage } = createTestPool({ maxOpenDatabases: 1 });
  const lease = await make(pool, 'a', 1);
  assert.equal(unitsIn(pool), 1);
  await grow(lease, 1, '€');
  assert.equal(unitsIn(pool), 3, 'V8 takes two bytes for each character then');
  for (const table of ['a', 'b'])
    await lease.manager.apply([device.migrate('create_table', table)]);
  await lease.manager.apply([device.migrate('rename_table', 'c', { fromTable: 'b' })]);
  await lease.manager.apply([device.migrate('drop_table', 'a')]);
  const all = pool.catalogBytes;
  storage.beforeCommit = () => {
    throw new Error('not stored');
  };
  await assert.rejects(grow(lease, 1));
  assert.equal(pool.catalogBytes, all);
  storage.beforeCommit = () => undefined;
  lease.release();
  const closed = storage.closed('a');
  const other = await pool.acquire('b');
  await closed;
  assert.equal(pool.catalogBytes, 0);
  other.release();
  await pool.acquire('a');
  assert.equal(pool.catalogBytes, all);
  await pool.close();
  assert.equal(pool.catalogBytes, 0);
});

test('an opening waits until databases that nobody uses have been closed', async () => {
  const { pool, storage } = createPool(4);
  for (const id of ['a', 'b', 'c', 'd']) (await make(pool, id, 1)).release();
  (await pool.acquire('a')).release();
  // The fifth is stored, but has to make room for that first.
  const e = await pool.acquire('e');
  const gate = deferred();
  storage.beforeClose = () => gate.promise;
  await assert.rejects(grow(e, 1), FULL, 'a batch does not wait');
  assert.deepEqual(openIn(pool), ['a', 'c', 'd', 'e']);
  await assert.rejects(grow(e, 1), FULL);
  assert.deepEqual(openIn(pool), ['a', 'c', 'd', 'e'], 'the room of one is enough');
  const closed = storage.closed('b');
  gate.resolve();
  await closed;
  await grow(e, 1);
  const opening = deferred();
  storage.beforeClose = () => opening.promise;
  let isOpen = false;
  const again = pool.acquire('b').then((lease) => {
    isOpen = true;
    return lease;
  });
  while (openIn(pool).includes('c')) await new Promise(setImmediate);
  assert.equal(isOpen, false);
  assert.equal(unitsIn(pool), 4);
  opening.resolve();
  await again;
  assert.deepEqual(openIn(pool), ['a', 'b', 'd', 'e']);
  assert.equal(unitsIn(pool), 4);
});

test('while all are in use, who asks for more is told to come again, and nothing is lost', async () => {
  const { pool: before, storage } = createPool(10);
  for (const [id, units] of Object.entries({ small: 1, large: 3 })) await make(before, id, units);
  await before.close();
  const { pool } = createPool(4, 100, storage);
  const small = await pool.acquire('small');
  const other = await make(pool, 'other', 2);
  (await make(pool, 'idle', 1)).release();
  await assert.rejects(pool.acquire('large'), FULL);
  const [refused, stored] = await Promise.allSettled([
    grow(other, 2),
    other.manager.apply([device.write({ pk: [1], set: { a: 1 } })]),
  ]);
  assert.equal(refused.status === 'rejected' && refused.reason.code, 'OVERLOADED');
  assert.equal(stored.status, 'fulfilled');
  await assert.rejects(grow(small, 5), { code: 'TOO_LARGE', limit: 'limits.catalogBytes' });
  assert.equal(unitsIn(pool), 4);
  assert.deepEqual(openIn(pool), ['idle', 'other', 'small'], 'none is closed in vain');
  other.release();
  await pool.acquire('large');
  assert.deepEqual(openIn(pool), ['large', 'small']);
  assert.equal(unitsIn(pool), 4);
});

test('a catalog that is larger than all the room is read as the only one, and grows no more', async () => {
  const { pool: before, storage } = createPool(10);
  for (const [id, units] of Object.entries({ small: 1, large: 8 })) await make(before, id, units);
  await before.close();
  const { pool } = createPool(4, 100, storage);
  (await pool.acquire('small')).release();
  const large = await pool.acquire('large');
  assert.deepEqual(openIn(pool), ['large']);
  await assert.rejects(grow(large, 1), { code: 'TOO_LARGE', limit: 'limits.catalogBytes' });
  await assert.rejects(pool.acquire('small'), FULL);
  const { applied } = await large.manager.apply([device.migrate('drop_index', `i${indexes - 2}`)]);
  assert.equal(applied, 1, 'it may become smaller');
  large.release();
  await pool.acquire('small');
});

test('one user does not take all the room, but may have one database that does', async () => {
  const { pool: before, storage } = createPool(20);
  for (const [id, units] of Object.entries({ b: 2, c: 3, all: 8 })) await make(before, id, units);
  await before.close();
  const { pool } = createPool(8, 50, storage);
  const a = await make(pool, 'a', 2, 'user eve');
  const b = await pool.acquire('b', 'user eve');
  await assert.rejects(pool.acquire('c', 'user eve'), SHARE);
  await assert.rejects(grow(a, 1), SHARE);
  // What two use counts half for each of them.
  const shared = await pool.acquire('a', 'user ben');
  const c = await pool.acquire('c', 'user ben');
  await assert.rejects(grow(c, 1), SHARE);
  for (const lease of [a, b, shared, c]) lease.release();
  await pool.acquire('all', 'user eve');
});

test('when all are in use, whoever has more than twice as much gives way', async () => {
  const { pool, storage } = createPool(8);
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await make(pool, id, 1, 'user eve');
  await make(pool, 'shared', 2, 'user eve');
  await pool.acquire('shared', 'user ben');
  (await pool.acquire('a', 'user eve')).release();
  const ben = await pool.acquire('mine', 'user ben');
  const closed = storage.closed('b');
  await assert.rejects(grow(ben, 1), FULL);
  await closed;
  await grow(ben, 1);
  assert.deepEqual(openIn(pool), ['a', 'c', 'd', 'e', 'f', 'mine', 'shared']);
  // With two more of them eve would not have twice as much as ben.
  await assert.rejects(grow(ben, 2), FULL);
  assert.deepEqual(openIn(pool), ['a', 'c', 'd', 'e', 'f', 'mine', 'shared']);
});

test('what another process has made too large is closed, where nobody else makes room', async () => {
  const { pool, storage } = createPool(4);
  const stores = new Map<string, KVStore>();
  const open = storage.open.bind(storage);
  storage.open = async (id) => {
    const store = await open(id);
    stores.set(id, store);
    return store;
  };
  (await make(pool, 'idle', 1)).release();
  const a = await make(pool, 'a', 1);
  await make(pool, 'b', 1);
  const { manager: elsewhere } = await openEngine({ store: stores.get('a') });
  await grow({ manager: elsewhere }, 1);
  await a.manager.newestPosition();
  assert.equal(unitsIn(pool), 4);
  const idle = storage.closed('idle');
  await grow({ manager: elsewhere }, 1);
  await a.manager.newestPosition();
  await idle;
  assert.deepEqual(openIn(pool), ['a', 'b']);
  const closed = storage.closed('a');
  await grow({ manager: elsewhere }, 1);
  await a.manager.newestPosition();
  await closed;
  assert.deepEqual(openIn(pool), ['b']);
  assert.equal(unitsIn(pool), 1);
  await assert.rejects(pool.acquire('a'), FULL);
});
