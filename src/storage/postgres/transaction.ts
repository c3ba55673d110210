/**
 * One write to one database: locked, read, written and committed in one transaction of PostgreSQL.
 *
 * The lock is the database's row in `databases`, taken before anything is read. So what commits
 * later has seen what committed before, on whatever node. A node that stalls while it holds
 * the lock is ended by PostgreSQL (idle_in_transaction_session_timeout), and its commit fails.
 *
 * Round trips of a commit: one for BEGIN with the lock, one for the write with COMMIT, and what
 * `work` reads in between: of a merge, one more.
 *
 * When the connection dies while COMMIT is under way, nobody knows what became of it. Each
 * commit therefore notes, in the storage layer's own key space, how many this writer has made:
 *
 *     key    00 "writer" writer id(16)
 *     value  number(8) of the commit, big-endian
 *
 * Whoever then takes the lock, which waits for the old connection's end, reads whether it is there.
 *
 * Where a replica is waited for, a commit can be there without the replica having it: PostgreSQL
 * shows what a backend has left that was terminated, or told to wait no longer, or whose server
 * crashed, while it waited. So nothing that was read under the lock is believed before a COMMIT of
 * the reader's own: the lock is in the log as well, behind what was read, and is waited for.
 */

import type pg from 'pg';
import type { KVTransaction } from '../kv-store.ts';
import { toByteaArray } from './byte-arrays.ts';
import { isRefusal, unavailable } from './faults.ts';
import { type Place, readMany, readRange } from './reader.ts';
import { assertMayWrite, toMayWrite } from './serving-lock.ts';

export interface Writer {
  place: Place;
  /** The key of this writer's note. */
  noteKey: Buffer;
}

/** What became of one try. */
export type Attempt<T> =
  | { outcome: 'committed'; result: T; version: number }
  /** Nothing was to be written, and nothing was. */
  | { outcome: 'nothing'; result: T }
  /** What `work` threw. */
  | { outcome: 'thrown'; error: unknown }
  /** Certainly not committed, for what PostgreSQL or the way to it did. */
  | { outcome: 'failed'; error: unknown }
  | { outcome: 'unknown'; error: unknown; result: T };

/** Puts, and deletes as `undefined`; the last one of a key counts. */
type Changes = Map<string, { key: Buffer; value: Buffer | undefined }>;

/** Begins a transaction, and waits until nobody else writes. */
async function lock(client: pg.ClientBase, { schema, databaseId }: Place): Promise<void> {
  const [begun, locked] = await Promise.allSettled([
    client.query(`BEGIN ISOLATION LEVEL READ COMMITTED; ${toMayWrite(schema)}`),
    client.query({
      name: 'lock',
      text: `SELECT version FROM ${schema}.databases WHERE database_id = $1 FOR UPDATE`,
      values: [databaseId],
    }),
  ]);
  if (begun.status === 'rejected') throw begun.reason;
  assertMayWrite(begun.value);
  if (locked.status === 'rejected') throw locked.reason;
  // Without the row there is no lock: somebody has removed the database below us.
  if (locked.value.rowCount !== 1) throw new Error(`${schema}.databases has no such database`);
}

/**
 * What was read and written is there for good, also for whoever takes over.
 * @throws also what PostgreSQL only remarks: that it has committed, and was told not to wait
 */
async function commit(client: pg.ClientBase): Promise<void> {
  const remarks: string[] = [];
  const note = ({ message }: { message?: string | undefined }) => remarks.push(message ?? '');
  client.on('notice', note);
  try {
    await client.query('COMMIT');
  } finally {
    client.off('notice', note);
  }
  if (remarks.length > 0) throw new Error(`COMMIT was answered with: ${remarks.join('; ')}`);
}

/** @param number of this commit, noted with it */
export async function attempt<T>(
  client: pg.ClientBase,
  { place, noteKey }: Writer,
  number: bigint,
  work: (transaction: KVTransaction) => Promise<T>,
): Promise<Attempt<T>> {
  try {
    await lock(client, place);
  } catch (error) {
    return { outcome: 'failed', error };
  }
  const changes: Changes = new Map();
  const reading = trackFailure();
  let result: T;
  const open = openTransaction(client, place, changes, reading.note);
  try {
    result = await open.run(work);
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    // What went wrong below is not the work's own fault, whatever it made of it.
    return reading.failure === undefined
      ? { outcome: 'thrown', error }
      : { outcome: 'failed', error: reading.failure };
  }
  if (changes.size === 0) {
    try {
      // What it read may be its answer: that a change is there already.
      await commit(client);
      return { outcome: 'nothing', result };
    } catch (error) {
      return { outcome: 'failed', error };
    }
  }
  const note = Buffer.alloc(8);
  note.writeBigUInt64BE(number);
  changes.set(noteKey.toString('latin1'), { key: noteKey, value: note });
  const [written, committed] = await Promise.allSettled([
    client.query<{ version: string }>(toWrite(place, changes)),
    commit(client),
  ]);
  if (written.status === 'rejected') {
    const error = written.reason;
    // The write was refused, and what follows in a transaction that failed is a rollback.
    if (isRefusal(error)) return { outcome: 'failed', error };
    return { outcome: 'unknown', error, result };
  }
  if (committed.status === 'rejected') {
    return { outcome: 'unknown', error: committed.reason, result };
  }
  const version = Number(written.value.rows[0]?.version);
  return { outcome: 'committed', result, version };
}

/** Whether the commit with this number is there. Waits until nobody else can still make it. */
export async function isCommitted(
  client: pg.ClientBase,
  { place, noteKey }: Writer,
  number: bigint,
): Promise<boolean> {
  await lock(client, place);
  const [note] = await readMany(client, place, [noteKey]);
  await commit(client);
  return note !== undefined && Buffer.from(note).readBigUInt64BE() >= number;
}

/** When the writer ends. If the note stays it only costs its bytes: no disk or replica is waited for. */
export async function removeNote(client: pg.ClientBase, { place, noteKey }: Writer): Promise<void> {
  const { schema, databaseId } = place;
  await Promise.all([
    client.query('BEGIN'),
    client.query('SET LOCAL synchronous_commit = off'),
    client.query(`DELETE FROM ${schema}.entries WHERE database_id = $1 AND key = $2`, [
      databaseId,
      noteKey,
    ]),
    client.query('COMMIT'),
  ]);
}

function openTransaction(
  client: pg.ClientBase,
  place: Place,
  changes: Changes,
  noteFailure: (error: unknown) => never,
) {
  let ended = false;
  const add = (key: Uint8Array, value: Uint8Array | undefined) => {
    if (ended) throw new TypeError('the transaction has ended');
    const copy = Buffer.from(key);
    changes.set(copy.toString('latin1'), { key: copy, value: value && Buffer.from(value) });
  };
  const transaction: KVTransaction = {
    put: add,
    delete: (key) => add(key, undefined),
    getMany: (keys) => readMany(client, place, keys).catch(noteFailure),
    async *iterate(range) {
      try {
        yield* readRange(client, place, range);
      } catch (error) {
        noteFailure(error);
      }
    },
  };
  return {
    async run<T>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
      try {
        return await work(transaction);
      } finally {
        ended = true;
      }
    },
  };
}

/** All of it in one statement, which also counts the commit. */
function toWrite({ schema, databaseId }: Place, changes: Changes): pg.QueryConfig {
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  const deleted: Buffer[] = [];
  for (const { key, value } of changes.values()) {
    if (value === undefined) deleted.push(key);
    else {
      keys.push(key);
      values.push(value);
    }
  }
  return {
    name: 'write',
    text:
      `WITH put AS (INSERT INTO ${schema}.entries (database_id, key, value) ` +
      'SELECT $1, p.key, p.value FROM unnest($2::bytea[], $3::bytea[]) AS p (key, value) ' +
      'ON CONFLICT (database_id, key) DO UPDATE SET value = excluded.value), ' +
      `gone AS (DELETE FROM ${schema}.entries WHERE database_id = $1 AND key = ANY($4::bytea[])) ` +
      `UPDATE ${schema}.databases SET version = version + 1 WHERE database_id = $1 RETURNING version`,
    values: [databaseId, toByteaArray(keys), toByteaArray(values), toByteaArray(deleted)],
  };
}

function trackFailure() {
  const tracked: { failure: unknown; note(error: unknown): never } = {
    failure: undefined,
    note(error) {
      tracked.failure ??= error;
      throw unavailable(error);
    },
  };
  return tracked;
}
