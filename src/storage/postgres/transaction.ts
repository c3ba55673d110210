/**
 * One write to one database: lock, reads, writes and commit in one transaction of PostgreSQL.
 *
 * The lock is the database's row in `databases`. It is taken before anything is read, so each
 * writer, on any node, sees all earlier commits. If a node stalls while it holds the lock,
 * PostgreSQL ends its transaction (idle_in_transaction_session_timeout), and its commit fails.
 *
 * A commit takes one round trip for BEGIN with the lock, one for the writes with COMMIT, and those
 * of the reads of `work`: a merge needs one.
 *
 * If the connection dies during COMMIT, the outcome is unknown. So each commit writes a note, among
 * the storage layer's own keys, with the number of commits of this writer:
 *
 *     key    00 "writer" writer id(16)
 *     value  number(8) of the commit, big-endian
 *
 * The writer then takes the lock, which waits for the end of the old connection, and reads the
 * note.
 *
 * With synchronous replication a commit can be visible before the replica has it: if a backend was
 * terminated, told to wait no longer, or its server crashed, while it waited for the replica. So
 * what was read under the lock counts only after a COMMIT of the reader's own: the lock is in the
 * write-ahead log after what was read, so that COMMIT waits for the replica to have both.
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

/** The outcome of one attempt. */
export type Attempt<T> =
  | { outcome: 'committed'; result: T; version: number }
  /** There was nothing to write. */
  | { outcome: 'nothing'; result: T }
  /** `work` threw the error. */
  | { outcome: 'thrown'; error: unknown }
  /** Certainly not committed: PostgreSQL or the network failed. */
  | { outcome: 'failed'; error: unknown }
  | { outcome: 'unknown'; error: unknown; result: T };

/** Puts, and deletes as `undefined`. The last one of a key counts. */
type Changes = Map<string, { key: Buffer; value: Buffer | undefined }>;

/** Begins a transaction, and waits until there is no other writer. */
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
  // Without the row there is no lock: another program has removed the database.
  if (locked.value.rowCount !== 1) throw new Error(`${schema}.databases has no such database`);
}

/**
 * Makes what was read and written durable, also on a synchronous replica.
 * @throws also for a notice of PostgreSQL: it has committed without waiting for the replica
 */
async function commit(client: pg.ClientBase): Promise<void> {
  const notices: string[] = [];
  const note = ({ message }: { message?: string | undefined }) => notices.push(message ?? '');
  client.on('notice', note);
  try {
    await client.query('COMMIT');
  } finally {
    client.off('notice', note);
  }
  if (notices.length > 0) throw new Error(`COMMIT was answered with: ${notices.join('; ')}`);
}

/** @param number the number of this commit, for its note */
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
    // If a read failed, that is the cause, whatever `work` threw afterwards.
    return reading.failure === undefined
      ? { outcome: 'thrown', error }
      : { outcome: 'failed', error: reading.failure };
  }
  if (changes.size === 0) {
    try {
      // The result of `work` may rely on what it read, for instance that a change is stored
      // already.
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
    // The write was refused, so COMMIT rolled the transaction back.
    if (isRefusal(error)) return { outcome: 'failed', error };
    return { outcome: 'unknown', error, result };
  }
  if (committed.status === 'rejected') {
    return { outcome: 'unknown', error: committed.reason, result };
  }
  const version = Number(written.value.rows[0]?.version);
  return { outcome: 'committed', result, version };
}

/** Whether the commit with this number is there. Waits until its own transaction has ended. */
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

/**
 * To be called when the writer ends. Does not wait for disk or replica: a note that stays only
 * takes space.
 */
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

/** One statement for all changes, which also raises the version. */
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
