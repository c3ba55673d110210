/**
 * The tables in PostgreSQL. `database_id` comes first in every key, and no statement that reads or
 * writes entries concerns two databases, so `databases` and `entries` can be distributed by it.
 *
 *     layout     version          one row: the version of this layout
 *     databases  database_id      version counts commits; its row is the lock of the writer
 *     entries    database_id, key value
 */

import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';

/** Raised with each change of the layout, which is a new step in `MIGRATIONS`. */
const LAYOUT = 1;

const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (schema) => `
    CREATE TABLE ${schema}.layout (version integer NOT NULL);
    INSERT INTO ${schema}.layout VALUES (0);
    CREATE TABLE ${schema}.databases (
      database_id text COLLATE "C" PRIMARY KEY,
      version bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50);
    CREATE TABLE ${schema}.entries (
      database_id text COLLATE "C" NOT NULL,
      key bytea NOT NULL,
      value bytea NOT NULL,
      PRIMARY KEY (database_id, key)
    );`,
];

/** A number that other programs are unlikely to lock. */
const MIGRATION_LOCK = 7_095_301_452;
const SERVER_VERSION_MIN = 130_000;

/**
 * Creates or migrates the tables, one process at a time.
 * @param options.existing creates nothing
 * @throws SyncError STORE_FORMAT, STORE_UNAVAILABLE; what `pg` throws
 */
export async function ensureSchema(
  client: pg.ClientBase,
  schema: string,
  { existing = false } = {},
): Promise<void> {
  await refuseOldServer(client);
  if ((await readLayout(client, schema)) === LAYOUT) return;
  if (existing) {
    throw new SyncError(
      'STORE_FORMAT',
      `storage.url names schema ${schema}, which holds no store, or one of an older version: start ` +
        'the coordinator on it once',
    );
  }
  await client.query('BEGIN');
  try {
    await client.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    // CREATE SCHEMA IF NOT EXISTS needs the right to create one, even if it exists.
    const found = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema]);
    if (found.rowCount === 0) await client.query(`CREATE SCHEMA ${schema}`);
    // Another process may have been first.
    const layout = await readLayout(client, schema);
    for (const migrate of MIGRATIONS.slice(layout)) await client.query(migrate(schema));
    await client.query(`UPDATE ${schema}.layout SET version = $1`, [LAYOUT]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** The version of the layout; 0 without tables. */
async function readLayout(client: pg.ClientBase, schema: string): Promise<number> {
  const found = await client.query(
    'SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = $2',
    [schema, 'layout'],
  );
  if (found.rowCount === 0) return 0;
  const { rows } = await client.query<{ version: number }>(`SELECT version FROM ${schema}.layout`);
  const layout = rows[0]?.version ?? 0;
  if (layout > LAYOUT) {
    throw new SyncError(
      'STORE_FORMAT',
      `storage.url names schema ${schema}, whose tables have layout ${layout}; this program knows ` +
        `${LAYOUT}: run the newer version that made them`,
    );
  }
  return layout;
}

async function refuseOldServer(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ server_version_num: string }>('SHOW server_version_num');
  const version = Number(rows[0]?.server_version_num);
  if (version < SERVER_VERSION_MIN) {
    throw new SyncError(
      'STORE_UNAVAILABLE',
      `storage.url names PostgreSQL ${Math.floor(version / 10_000)}: it must be 13 or newer`,
    );
  }
}
