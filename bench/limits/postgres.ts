/**
 * The limit of a store on PostgreSQL: transactions of statements of the same shape as the store's, by a
 * program that does nothing else. Like pgbench with a script, on the client library that the store uses.
 */

import { readFileSync } from 'node:fs';
import pg from 'pg';
import { toByteaArray } from '../../src/storage/postgres/byte-arrays.ts';
import { serveProgram } from '../lib/program.ts';

/** What one transaction of ten changes leaves: a record of the log, and a row. */
const RECORD_BYTES = 1300;
const ROW_BYTES = 450;
/** What each group leaves besides: the head, the site, the table, the writer's note. */
const SMALL_KEYS = ['mhead', 's-site', 't-table', '0-writer'].map((key) => Buffer.from(key));
const SMALL = Buffer.alloc(40, 1);

const LOCK = 'SELECT version FROM bench_databases WHERE database_id = $1 FOR UPDATE';
const READ =
  'SELECT k.i::integer, e.value FROM unnest($2::bytea[]) WITH ORDINALITY AS k (key, i) ' +
  'CROSS JOIN LATERAL (SELECT value FROM bench_entries ' +
  'WHERE database_id = $1 AND key = k.key LIMIT 1) AS e';
const WRITE =
  'WITH put AS (INSERT INTO bench_entries (database_id, key, value) ' +
  'SELECT $1, p.key, p.value FROM unnest($2::bytea[], $3::bytea[]) AS p (key, value) ' +
  'ON CONFLICT (database_id, key) DO UPDATE SET value = excluded.value) ' +
  'UPDATE bench_databases SET version = version + 1 WHERE database_id = $1';

interface PostgresUsage {
  /** Groups, of all databases. */
  commits: number;
  /** Bytes of the entries, their index included. */
  stored: number;
  /** Bytes of write-ahead log of the whole server. */
  wal: number;
}

let clients: pg.Client[] = [];
let rows = 0;

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, pipeline: true });
  await client.connect();
  return client;
}

function keysOf(kind: string, count: number): Buffer[] {
  return Array.from({ length: count }, () =>
    Buffer.from(`${kind}${String(++rows).padStart(28, '0')}`),
  );
}

async function commitGroup(client: pg.Client, databaseId: string, transactions: number) {
  await Promise.all([
    client.query('BEGIN'),
    client.query({ name: 'lock', text: LOCK, values: [databaseId] }),
  ]);
  const rowKeys = keysOf('r', transactions);
  const read = [...SMALL_KEYS, ...rowKeys];
  await client.query({ name: 'read', text: READ, values: [databaseId, toByteaArray(read)] });
  const keys = [...read, ...keysOf('l', transactions)];
  const values = keys.map((_, i) => {
    if (i < SMALL_KEYS.length) return SMALL;
    return Buffer.alloc(i < read.length ? ROW_BYTES : RECORD_BYTES, i);
  });
  const arrays = [toByteaArray(keys), toByteaArray(values)];
  await Promise.all([
    client.query({ name: 'write', text: WRITE, values: [databaseId, ...arrays] }),
    client.query('COMMIT'),
  ]);
}

const methods = serveProgram({
  /** @returns the process that all of its backends are children of */
  async connect({ url, databases }: { url: string; databases: number }): Promise<number> {
    clients = await Promise.all(Array.from({ length: databases }, () => connect(url)));
    const [client] = clients;
    if (client === undefined) throw new Error('no database, no connection');
    await client.query(
      'CREATE TABLE bench_databases (database_id text COLLATE "C" PRIMARY KEY, version bigint) ' +
        'WITH (fillfactor = 50); ' +
        'CREATE TABLE bench_entries (database_id text COLLATE "C", key bytea, value bytea NOT NULL, ' +
        'PRIMARY KEY (database_id, key))',
    );
    await client.query(
      "INSERT INTO bench_databases SELECT 'db-' || i, 0 FROM generate_series(0, $1) AS i",
      [databases - 1],
    );
    const found = await client.query('SELECT pg_backend_pid() AS pid');
    const stat = readFileSync(`/proc/${found.rows[0].pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  },
  /** What the coordinators have left so far, in the schema. */
  async usage(schema: string): Promise<PostgresUsage> {
    const found = await clients[0]?.query(
      `SELECT (SELECT sum(version)::float FROM ${schema}.databases) AS commits, ` +
        `pg_total_relation_size('${schema}.entries')::float AS stored, ` +
        "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float AS wal",
    );
    return found?.rows[0];
  },
  /** Commits transactions in groups, one after the other in each of so many databases. */
  async run(load: { databases: number; transactions: number; perGroup: number }) {
    const startedAt = performance.now();
    await Promise.all(
      clients.slice(0, load.databases).map(async (client, i) => {
        for (let left = load.transactions; left > 0; left -= load.perGroup) {
          await commitGroup(client, `db-${i}`, Math.min(left, load.perGroup));
        }
      }),
    );
    return { elapsedMs: performance.now() - startedAt };
  },
  async disconnect() {
    await Promise.all(clients.map((client) => client.end()));
  },
});

export type PostgresLimit = typeof methods;
