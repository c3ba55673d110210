/**
 * What stands between the coordinator and PostgreSQL may lend one session to several clients, a transaction each.
 * Locks, notifications and prepared statements are of a session: with such a pooler writes fail, or worse, a
 * copy runs beside those that write.
 */

import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import { type Connections, cut } from './connections.ts';

/** @throws SyncError STORE_UNAVAILABLE, for the operator */
export async function refuseSharedSessions(connections: Pick<Connections, 'toOwn'>): Promise<void> {
  const one = await connections.toOwn();
  try {
    const other = await connections.toOwn();
    try {
      if (!(await isShared(one, other))) return;
    } finally {
      cut(other);
    }
  } finally {
    cut(one);
  }
  throw new SyncError(
    'STORE_UNAVAILABLE',
    'storage.url names a pooler that lends a session of PostgreSQL to several clients: set pool_mode = session ' +
      '(PgBouncer) for this database, or name PostgreSQL itself',
  );
}

/** A session that is not lent has one process of its own, also after another client was busy. */
async function isShared(one: pg.ClientBase, other: pg.ClientBase): Promise<boolean> {
  const ofOne = [await processOf(one)];
  const ofOther = [await processOf(other)];
  await other.query('BEGIN');
  ofOther.push(await processOf(other));
  ofOne.push(await processOf(one));
  await other.query('COMMIT');
  ofOne.push(await processOf(one));
  return new Set(ofOne).size > 1 || new Set([...ofOne, ...ofOther]).size !== 2;
}

async function processOf(client: pg.ClientBase): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid;
}
