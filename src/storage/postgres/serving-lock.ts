/**
 * The lock of a schema: its coordinators may write to its databases, except while `copy` reads
 * them. A change that is acknowledged meanwhile would be missing in the copy.
 *
 * It is an advisory lock of PostgreSQL, one for each schema:
 *
 *   shared, session        each coordinator, on the connection that listens, while it runs: no copy
 *                          begins while one runs, and none starts during a copy
 *   shared, transaction    each transaction that writes: if a coordinator has lost its connection, so
 *                          that a copy could begin, its writes are refused
 *   exclusive, session     the copy, until it is done
 *
 * Requests fail at once instead of waiting: a waiting exclusive lock would block all coordinators.
 */

import { createHash } from 'node:crypto';
import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import { type Connections, cut } from './connections.ts';

const RETRY_MS = 1000;
/**
 * PostgreSQL may still hold the lock of a coordinator that has just stopped, so the copy tries for
 * a while.
 */
const TRIES_MAX = 20;
const TRY_PAUSE_MS = 100;

/** The key of the lock. `pg_locks` shows its two halves as `classid` and `objid`. */
export function servingLockKey(schema: string): bigint {
  return createHash('sha256').update(`sync-coordinator:${schema}`).digest().readBigInt64BE();
}

/**
 * The statement that takes the lock for a transaction that writes, sent in one message with BEGIN.
 * @see assertMayWrite
 */
export function toMayWrite(schema: string): string {
  return `SELECT pg_try_advisory_xact_lock_shared(${servingLockKey(schema)}) AS may_write`;
}

/**
 * @param results the results of a message that ends with `toMayWrite`
 * @throws SyncError STORE_UNAVAILABLE
 */
export function assertMayWrite(results: unknown): void {
  const last: unknown = Array.isArray(results) ? results.at(-1) : results;
  const rows = typeof last === 'object' && last !== null && 'rows' in last ? last.rows : [];
  const [row]: unknown[] = Array.isArray(rows) ? rows : [];
  const mayWrite = typeof row === 'object' && row !== null && 'may_write' in row && row.may_write;
  if (mayWrite === true) return;
  throw new SyncError(
    'STORE_UNAVAILABLE',
    'the store of this database is being copied: it takes no changes until that is done',
    { retryAfterMs: RETRY_MS },
  );
}

/**
 * Takes the lock of a coordinator on a connection, which holds it until it ends.
 * @throws SyncError STORE_LOCKED
 */
export async function lockToServe(client: pg.ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock_shared(${servingLockKey(schema)}) AS locked`,
  );
  if (rows[0]?.locked) return;
  throw new SyncError(
    'STORE_LOCKED',
    `schema ${schema} is being copied by another process: wait until that is done, and let only one ` +
      'of the two serve from then on',
  );
}

export interface LockAlone {
  /** @throws SyncError STORE_LOCKED if the lock was lost with its connection */
  assertHeld(): void;
  close(): Promise<void>;
}

/**
 * Keeps all coordinators from writing until it is closed.
 * @throws SyncError STORE_LOCKED, which names the running coordinators
 */
export async function lockAlone(
  connections: Pick<Connections, 'toOwn'>,
  schema: string,
): Promise<LockAlone> {
  const client = await connections.toOwn();
  let isHeld = true;
  client.once('end', () => {
    isHeld = false;
  });
  try {
    await acquire(client, schema);
  } catch (error) {
    cut(client);
    throw error;
  }
  return {
    assertHeld() {
      if (isHeld) return;
      throw new SyncError(
        'STORE_LOCKED',
        'the connection that kept coordinators out was lost: run the command again',
      );
    },
    close: () => client.end(),
  };
}

async function acquire(client: pg.Client, schema: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { rows } = await client.query<{ locked: boolean }>(
      `SELECT pg_try_advisory_lock(${servingLockKey(schema)}) AS locked`,
    );
    if (rows[0]?.locked) return;
    if (tries === TRIES_MAX) break;
    await new Promise((done) => setTimeout(done, TRY_PAUSE_MS));
  }
  throw new SyncError(
    'STORE_LOCKED',
    `schema ${schema} is in use by ${await describeHolders(client, schema)}: what they acknowledge ` +
      'meanwhile would be missing. Stop all coordinators that share it, and run the command again',
  );
}

async function describeHolders(client: pg.Client, schema: string): Promise<string> {
  const key = BigInt.asUintN(64, servingLockKey(schema));
  const { rows } = await client.query<{ name: string | null; address: string | null; pid: number }>(
    'SELECT a.application_name AS name, host(a.client_addr) AS address, l.pid ' +
      'FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid ' +
      "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid() " +
      'AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ' +
      'AND l.classid = $1 AND l.objid = $2 ORDER BY l.pid',
    [String(key >> 32n), String(key & 0xffffffffn)],
  );
  const holders = rows.map(({ name, address, pid }) => {
    const from = address === null ? '' : ` from ${address}`;
    return `${name || 'a process'}${from} (PostgreSQL's process ${pid})`;
  });
  return holders.length === 0 ? 'another process' : holders.join(', ');
}
