import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import { ensureFormat, FORMAT_KEY, STORE_FORMAT } from '../../src/storage/format.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { tamperFormat } from './tamper-format.ts';

describe('the format of a store', () => {
  test('is noted when the store is made', async () => {
    const store = await createMemoryStorage().open('db');
    const [record] = await store.getMany([FORMAT_KEY]);
    assert.ok(record);
    assert.deepEqual(JSON.parse(Buffer.from(record).toString()), {
      format: STORE_FORMAT,
      databaseId: 'db',
    });
  });

  test('that is another is refused, with what it is, what it should be and what to do', async () => {
    const storage = createMemoryStorage();
    await tamperFormat(storage, 'db', { format: 7, databaseId: 'db' });
    await assert.rejects(storage.open('db'), {
      code: 'STORE_FORMAT',
      message: new RegExp(
        `database db has format 7, .* reads format ${STORE_FORMAT}: run the version that wrote it`,
      ),
    });
  });

  test('that cannot be read is refused', async () => {
    const storage = createMemoryStorage();
    await tamperFormat(storage, 'db', null);
    await assert.rejects(storage.open('db'), { code: 'STORE_FORMAT', message: /unreadable/ });
  });

  test('of another database is refused, and its name is only in the cause', async () => {
    const storage = createMemoryStorage();
    await tamperFormat(storage, 'db', { format: STORE_FORMAT, databaseId: 'secret-project' });
    const error = await storage.open('db').catch((thrown: unknown) => thrown);
    assert.ok(error instanceof SyncError);
    assert.equal(error.code, 'STORE_FORMAT');
    assert.match(error.message, /that of another database/);
    assert.doesNotMatch(error.message, /secret-project/);
    assert.match(String(error.cause), /secret-project/);
  });

  test('may be noted by two processes at once: one of them is first, and both go on', async () => {
    // As it is before `Storage.open` has noted the format.
    const storage = createMemoryStorage();
    const store = await storage.open('db');
    await store.exclusive(async (transaction) => transaction.delete(FORMAT_KEY));
    const second: KVStore = {
      ...store,
      async getMany(keys) {
        const values = await store.getMany(keys);
        // Between the second's look and what it makes of it.
        await ensureFormat(store, 'db');
        return values;
      },
    };
    await ensureFormat(second, 'db');
    const [record] = await store.getMany([FORMAT_KEY]);
    assert.match(Buffer.from(record ?? []).toString(), /"databaseId":"db"/);
  });

  test('that is missing beside other data is refused', async () => {
    const storage = createMemoryStorage();
    const store = await storage.open('db');
    await store.exclusive(async (transaction) => {
      transaction.delete(FORMAT_KEY);
      transaction.put(Buffer.from('row'), Buffer.from('1'));
    });
    await store.close();
    await assert.rejects(storage.open('db'), {
      code: 'STORE_FORMAT',
      message: /does not say in which format/,
    });
  });
});
