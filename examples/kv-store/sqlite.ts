/**
 * A storage on SQLite: one file a database, in `sqlite` below `dataDir`. Named by its path:
 *
 *     export default defineConfig({ storage: { url: './examples/kv-store/sqlite.ts' } });
 *
 * The package has the interface of `node:sqlite`, and runs on older Nodes too. Its calls are
 * synchronous: while it commits, this process does nothing else. The pages of what was deleted
 * are used again by SQLite itself. A connection is freed with its last statement, by the collector.
 */

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import {
  createStorage,
  createStore,
  databaseIdToDirectoryName,
  directoryNameToDatabaseId,
  type KVChange,
  type KVEntry,
  type KVReader,
  type KVStore,
  type Storage,
  type StorageModuleOptions,
  SyncError,
} from 'sync-coordinator';

const BYTES_PER_ARRAY = 1024 * 1024;
const SUFFIX = '.sqlite';
const TABLE =
  'CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID';
const [SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_NOTADB] = [5, 11, 26];

export default function createSqliteStorage(options: StorageModuleOptions): Storage {
  const { dataDir, durability, existing = false } = options;
  const directory = path.join(dataDir, 'sqlite');
  const fileOf = (id: string) => path.join(directory, databaseIdToDirectoryName(id) + SUFFIX);
  if (!existing) mkdirSync(directory, { recursive: true });
  // Held until it is closed or the process ends, however that ends.
  const lock = connect(path.join(directory, `_lock${SUFFIX}`), 'BEGIN EXCLUSIVE');
  return createStorage({
    description: `SQLite in ${directory}, durability ${durability}`,
    existing,
    open: (id) => openStore(fileOf(id), options),
    has: async (id) => existsSync(fileOf(id)),
    async list() {
      const names = readdirSync(directory).filter((name) => /^db-.*\.sqlite$/.test(name));
      return names.map((name) => directoryNameToDatabaseId(name.slice(0, -SUFFIX.length)));
    },
    close: () => lock.close(),
  });
}

function openStore(file: string, { durability, existing }: StorageModuleOptions): KVStore {
  if (existing && !existsSync(file)) {
    throw new SyncError('STORE_UNAVAILABLE', 'there is no such database');
  }
  const synchronous = durability === 'fsync' ? 'FULL' : 'NORMAL';
  const main = connect(
    file,
    `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; ${existing ? '' : TABLE}`,
  );
  if (existing) assertSound(main);
  /** Connections of views that were closed: the next ones take them. */
  const idle: DatabaseSyncInstance[] = [];
  return createStore({
    view() {
      const connection = idle.pop() ?? connect(file);
      // A read transaction begins with its first read.
      connection.exec('BEGIN; SELECT 1 FROM entries LIMIT 1');
      const close = async () => {
        connection.exec('ROLLBACK');
        idle.push(connection);
      };
      return { ...createReader(connection), close };
    },
    commit: (writes) => commit(main, writes),
    close() {
      for (const connection of [main, ...idle]) connection.close();
    },
  });
}

function commit(connection: DatabaseSyncInstance, writes: readonly KVChange[]): void {
  connection.exec('BEGIN IMMEDIATE');
  try {
    const put = connection.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?)');
    const remove = connection.prepare('DELETE FROM entries WHERE key = ?');
    for (const [key, value] of writes) {
      if (value === undefined) remove.run(key);
      else put.run(key, value);
    }
    connection.exec('COMMIT');
  } catch (error) {
    if (connection.isTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}

function createReader(connection: DatabaseSyncInstance): KVReader {
  return {
    async getMany(keys) {
      try {
        const statement = connection.prepare('SELECT value FROM entries WHERE key = ?');
        return keys.map((key) => statement.get(key)?.value);
      } catch (error) {
        throw toSyncError(error);
      }
    },
    async *iterate({ gt, gte = new Uint8Array(), lt, reverse, limit = -1 }) {
      const range = `key ${gt === undefined ? '>=' : '>'} ? AND key < ?`;
      const order = `ORDER BY key ${reverse ? 'DESC' : 'ASC'} LIMIT ?`;
      const sql = `SELECT key, value FROM entries WHERE ${range} ${order}`;
      try {
        let entries: KVEntry[] = [];
        let bytes = 0;
        for (const { key, value } of connection.prepare(sql).iterate(gt ?? gte, lt, limit)) {
          entries.push([key, value]);
          bytes += key.length + value.length;
          if (bytes < BYTES_PER_ARRAY && entries.length < 1000) continue;
          yield entries;
          [entries, bytes] = [[], 0];
        }
        if (entries.length > 0) yield entries;
      } catch (error) {
        throw toSyncError(error);
      }
    },
  };
}

function connect(file: string, sql = ''): DatabaseSyncInstance {
  try {
    const connection = new DatabaseSync(file);
    connection.exec(sql);
    return connection;
  } catch (error) {
    throw toSyncError(error);
  }
}

function assertSound(connection: DatabaseSyncInstance): void {
  const fault = connection.prepare('PRAGMA integrity_check(1)').get()?.integrity_check;
  if (fault === 'ok') return;
  connection.close();
  throw new SyncError('STORE_DAMAGED', 'the store of this database is damaged', { cause: fault });
}

function toSyncError(cause: unknown): SyncError {
  const errcode = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) & 0xff : 0;
  if (errcode === SQLITE_BUSY) {
    return new SyncError('STORE_LOCKED', 'another process has this data open', { cause });
  }
  return errcode === SQLITE_CORRUPT || errcode === SQLITE_NOTADB
    ? new SyncError('STORE_DAMAGED', 'the store of this database is damaged', { cause })
    : new SyncError('STORE_UNAVAILABLE', 'the store of this database cannot be read', { cause });
}
