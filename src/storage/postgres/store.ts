/** One database in PostgreSQL, as the engine knows it. */

import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { SyncError } from '../../errors.ts';
import type { CommitListener, KVReader, KVStore, KVTransaction } from '../kv-store.ts';
import { createWriteQueue, storeClosed } from '../write-queue.ts';
import type { Connections } from './connections.ts';
import { isConnectionLost, isWorthRetrying, unavailable } from './faults.ts';
import { type Place, readMany, readRange } from './reader.ts';
import { attempt, isCommitted, type Writer } from './transaction.ts';

/** Tries of one transaction, when PostgreSQL or the way to it failed. */
const ATTEMPTS_MAX = 4;
/** How long an open question is asked whether a commit is there. */
const RESOLVE_MS = 10_000;
const RESOLVE_PAUSE_MS = 200;
/** A view that nobody reads from holds back vacuum. */
const VIEW_IDLE_MS = 10 * 60_000;

export interface PostgresStoreOptions {
  connections: Connections;
  place: Place;
  /** This store has committed. */
  onCommitted(version: number): void;
  /** @returns stops it */
  watch(listener: CommitListener): () => void;
  onClose(): void;
}

export function createPostgresStore(options: PostgresStoreOptions): KVStore {
  const { connections, place, onCommitted, watch, onClose } = options;
  const queue = createWriteQueue();
  const writer: Writer = {
    place,
    noteKey: Buffer.concat([Buffer.from('\0writer'), randomBytes(16)]),
  };
  const views = new Set<View>();
  let commits = 0n;

  async function write<T>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    const number = ++commits;
    for (let tries = 1; ; tries++) {
      const tried = await withClient(connections, connections.writes, (client) =>
        attempt(client, writer, number, work),
      ).catch((error: unknown) => ({ outcome: 'failed', error }) as const);
      switch (tried.outcome) {
        case 'committed':
          onCommitted(tried.version);
          return tried.result;
        case 'nothing':
          return tried.result;
        case 'thrown':
          throw tried.error;
        case 'unknown':
          // Its version is not known, but others would read what they need anyway.
          if (await resolve(number, tried.error)) {
            onCommitted(Number.POSITIVE_INFINITY);
            return tried.result;
          }
          break;
        case 'failed':
          break;
      }
      if (tries === ATTEMPTS_MAX || !isWorthRetrying(tried.error)) throw unavailable(tried.error);
    }
  }

  /** @throws SyncError STORE_UNAVAILABLE when it cannot be known */
  async function resolve(number: bigint, error: unknown): Promise<boolean> {
    const deadline = Date.now() + RESOLVE_MS;
    for (;;) {
      try {
        return await withClient(connections, connections.writes, (client) =>
          isCommitted(client, writer, number),
        );
      } catch {
        if (Date.now() > deadline) throw unavailable(error);
        await new Promise((done) => setTimeout(done, RESOLVE_PAUSE_MS));
      }
    }
  }

  async function openView(): Promise<View> {
    if (queue.closed) throw storeClosed();
    const view = await View.open(connections, place, (closed) => views.delete(closed));
    views.add(view);
    return view;
  }

  return {
    recovers: true,
    async getMany(keys) {
      if (queue.closed) throw storeClosed();
      return withClient(connections, connections.reads, (client) =>
        readMany(client, place, keys),
      ).catch((error: unknown) => {
        throw unavailable(error);
      });
    },
    async *iterate(range) {
      const view = await openView();
      try {
        yield* view.iterate(range);
      } finally {
        await view.close();
      }
    },
    exclusive: (work) => queue.run(() => write(work)),
    view: openView,
    onCommit: watch,
    close: () =>
      queue.close(async () => {
        await Promise.all([...views].map((view) => view.close()));
        await connections.writes
          .query(`DELETE FROM ${place.schema}.entries WHERE database_id = $1 AND key = $2`, [
            place.databaseId,
            writer.noteKey,
          ])
          // It only costs its few bytes.
          .catch(() => undefined);
        onClose();
      }),
  };
}

/** A transaction that reads one moment, on a connection of its own. */
class View implements KVReader {
  readonly #client: pg.PoolClient;
  readonly #place: Place;
  readonly #onClose: (view: View) => void;
  #closed = false;
  #failure: Error | undefined;

  static async open(
    connections: Connections,
    place: Place,
    onClose: (view: View) => void,
  ): Promise<View> {
    const client = await connect(connections, connections.reads);
    try {
      const begun = await Promise.allSettled([
        client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'),
        client.query(`SET LOCAL idle_in_transaction_session_timeout = ${VIEW_IDLE_MS}`),
        // The moment is that of the first statement that reads.
        client.query(`SELECT 1 FROM ${place.schema}.databases LIMIT 1`),
      ]);
      for (const outcome of begun) if (outcome.status === 'rejected') throw outcome.reason;
      return new View(client, place, onClose);
    } catch (error) {
      client.release(toError(error));
      throw unavailable(error);
    }
  }

  private constructor(client: pg.PoolClient, place: Place, onClose: (view: View) => void) {
    this.#client = client;
    this.#place = place;
    this.#onClose = onClose;
    client.on('error', this.#noteFailure);
  }

  readonly #noteFailure = (error: Error): void => {
    this.#failure ??= error;
  };

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#read(() => readMany(this.#client, this.#place, keys));
  }

  async *iterate(range: Parameters<KVReader['iterate']>[0]) {
    const pieces = readRange(this.#client, this.#place, range);
    for (;;) {
      const { done, value } = await this.#read(() => pieces.next());
      if (done) return;
      yield value;
    }
  }

  async #read<T>(read: () => Promise<T>): Promise<T> {
    if (this.#closed) throw storeClosed();
    try {
      return await read();
    } catch (error) {
      this.#failure ??= toError(error);
      throw unavailable(error);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose(this);
    await this.#client.query('ROLLBACK').catch(this.#noteFailure);
    this.#client.off('error', this.#noteFailure);
    this.#client.release(this.#failure);
  }
}

/** @throws what `work` throws; what connecting throws, after the next host is in turn */
async function withClient<T>(
  connections: Connections,
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connect(connections, pool);
  let failure: Error | undefined;
  const noteFailure = (error: Error) => {
    failure ??= error;
  };
  client.on('error', noteFailure);
  try {
    const result = await work(client);
    if (isLost(result)) failure ??= toError(result.error);
    return result;
  } catch (error) {
    if (isConnectionLost(error)) failure ??= toError(error);
    throw error;
  } finally {
    client.off('error', noteFailure);
    client.release(failure);
  }
}

async function connect(connections: Connections, pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    connections.tryNextHost();
    throw error;
  }
}

/** An outcome that says that its connection is of no more use. */
function isLost(result: unknown): result is { error: unknown } {
  return (
    typeof result === 'object' &&
    result !== null &&
    'outcome' in result &&
    (result.outcome === 'failed' || result.outcome === 'unknown') &&
    'error' in result &&
    isConnectionLost(result.error)
  );
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new SyncError('STORE_UNAVAILABLE', String(error));
}
