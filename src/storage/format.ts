/**
 * The format record of a store: its format version, and which database it is. With it a program
 * never misreads a store of another version, and detects a directory that was copied or renamed.
 *
 *     key    00 "format"
 *     value  {"format": 4, "databaseId": "…"}   (JSON, UTF-8)
 */

import { SyncError } from '../errors/sync-error.ts';
import type { KVStore } from './kv-store.ts';

/** Raised when the engine's keys or values change so that older programs would misread them. */
export const STORE_FORMAT = 4;

export const FORMAT_KEY: Uint8Array = Buffer.from('\0format');

/** Any entry, of the storage layer or the engine. */
const ANY_ENTRY = { lt: Uint8Array.of(0xff), limit: 1 };

/**
 * The last step of every `Storage.open`: writes the record into a new store, or checks that of an
 * existing one. Closes a store that it refuses.
 * @param options.existing writes nothing: a store without the record is refused
 * @throws SyncError STORE_FORMAT
 */
export async function ensureFormat(
  store: KVStore,
  databaseId: string,
  { existing = false } = {},
): Promise<KVStore> {
  try {
    const [record] = await store.getMany([FORMAT_KEY]);
    if (record === undefined && existing) throw emptyStore(databaseId);
    if (record === undefined) await writeRecord(store, databaseId);
    else checkRecord(record, databaseId);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function emptyStore(databaseId: string): SyncError {
  const what = `the store of database ${databaseId} does not say in which format it is`;
  return new SyncError('STORE_FORMAT', `${what}: it is empty or damaged`);
}

/**
 * Under the writer's lock: of several processes that find a new store, one writes the record, the
 * others check it.
 */
async function writeRecord(store: KVStore, databaseId: string): Promise<void> {
  await store.exclusive(async (transaction) => {
    const [meanwhile] = await transaction.getMany([FORMAT_KEY]);
    if (meanwhile !== undefined) return checkRecord(meanwhile, databaseId);
    for await (const _entries of transaction.iterate(ANY_ENTRY)) {
      throw new SyncError(
        'STORE_FORMAT',
        `the store of database ${databaseId} holds data but does not say in which format: another ` +
          'program wrote it, or it is damaged. Restore a backup, or move it away',
      );
    }
    const value = JSON.stringify({ format: STORE_FORMAT, databaseId });
    transaction.put(FORMAT_KEY, Buffer.from(value));
  });
}

function checkRecord(bytes: Uint8Array, databaseId: string): void {
  const record = parseRecord(bytes);
  if (record.format !== STORE_FORMAT) {
    const found = record.format === undefined ? 'unreadable' : JSON.stringify(record.format);
    throw new SyncError(
      'STORE_FORMAT',
      `the store of database ${databaseId} has format ${found}, and this program reads format ` +
        `${STORE_FORMAT}: run the version that wrote it, or restore a backup of format ${STORE_FORMAT}`,
    );
  }
  if (record.databaseId !== databaseId) {
    throw new SyncError(
      'STORE_FORMAT',
      `the store of database ${databaseId} is that of another database: it was copied or ` +
        'renamed. Put it back in its place, or restore a backup',
      // The other name goes only to the log: clients of one database must not learn names of
      // others.
      { cause: new Error(`its record names database ${JSON.stringify(record.databaseId)}`) },
    );
  }
}

function parseRecord(bytes: Uint8Array): { format?: unknown; databaseId?: unknown } {
  try {
    const record: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof record === 'object' && record !== null ? record : {};
  } catch {
    return {};
  }
}
