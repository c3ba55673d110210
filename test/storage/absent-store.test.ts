/** What stands in for a database that is not there: a store like any other, until it is one. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { openUnlessAbsent } from '../../src/storage/absent-store.ts';
import type { KVStore, Storage } from '../../src/storage/kv-store.ts';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { kvStoreContract } from '../../src/testing/index.ts';
import { temporaryDirectory } from '../support/server.ts';
import { tamperFormat } from './tamper-format.ts';

/** Makes each database with its first write. */
function makingLate(storage: Storage): Storage {
  const stores: KVStore[] = [];
  return {
    ...storage,
    async open(id) {
      const { store } = await openUnlessAbsent(storage, id, () => storage.open(id));
      stores.push(store);
      return store;
    },
    async close() {
      await Promise.all(stores.map((store) => store.close()));
      await storage.close();
    },
  };
}

kvStoreContract({
  name: 'LevelDB, made by the first write',
  tamperFormat,
  persistent: true,
  async open() {
    const directory = mkdtempSync(path.join(tmpdir(), 'sync-absent-'));
    let storage: Storage;
    const reopen = async () => {
      await storage?.close();
      storage = makingLate(await createLevelStorage({ directory, durability: 'os' }));
      return storage;
    };
    const opened = await reopen();
    const dispose = async () => {
      await storage.close();
      await rm(directory, { recursive: true, force: true });
    };
    return { storage: opened, reopen, dispose };
  },
});

const KEY = Buffer.from('key');
const NOTE = Buffer.from('note');

async function openAbsent(t: TestContext): Promise<{ store: KVStore; files(): string[] }> {
  const directory = temporaryDirectory();
  const storage = await createLevelStorage({ directory, durability: 'os' });
  t.after(() => storage.close());
  const { store } = await openUnlessAbsent(storage, 'a', () => storage.open('a'));
  t.after(() => store.close());
  return { store, files: () => readdirSync(directory).filter((name) => name.startsWith('db-')) };
}

const put = (store: KVStore, key: Buffer, whereAbsent?: 'keep' | 'drop') =>
  store.exclusive(async (transaction) => transaction.put(key, key), { whereAbsent });

test('reads, and writes that are no reason for it, make no database', async (t) => {
  const { store, files } = await openAbsent(t);
  assert.deepEqual(await store.getMany([KEY]), [undefined]);
  await put(store, KEY, 'keep');
  await put(store, NOTE, 'drop');
  const [kept, dropped] = await store.getMany([KEY, NOTE]);
  assert.deepEqual([Buffer.from(kept ?? []), dropped], [KEY, undefined]);
  assert.equal(await store.exclusive(async () => 7), 7);
  await store.close();
  assert.deepEqual(files(), []);
});

test('the first write makes it, with what was kept until then', async (t) => {
  const { store, files } = await openAbsent(t);
  await put(store, KEY, 'keep');
  const before = await store.view();
  await put(store, NOTE);
  assert.deepEqual(files(), ['db-a']);
  const values = await store.getMany([KEY, NOTE]);
  assert.deepEqual(
    values.map((value) => value && Buffer.from(value)),
    [KEY, NOTE],
  );
  assert.deepEqual((await before.getMany([NOTE]))[0], undefined, 'a view stays as it is');
  await before.close();
  await put(store, KEY, 'drop');
});

test('work that throws, or writes nothing, makes none; an opening that fails is tried again', async (t) => {
  const storage = createMemoryStorage();
  t.after(() => storage.close());
  let isFull = true;
  const { store } = await openUnlessAbsent(storage, 'a', async () => {
    if (isFull) throw new Error('no space left');
    return storage.open('a');
  });
  await assert.rejects(
    store.exclusive(async (transaction) => {
      transaction.put(KEY, KEY);
      throw new Error('of the work');
    }),
    /of the work/,
  );
  await assert.rejects(put(store, KEY), /no space left/);
  assert.deepEqual(await store.getMany([KEY]), [undefined]);
  assert.equal(await storage.has?.('a'), false);
  isFull = false;
  await put(store, KEY);
  assert.equal(await storage.has?.('a'), true);
  await store.close();
});
