/** One database in PostgreSQL as a `KVStore`. */

import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { CommitListener, KVReader, KVStore, KVTransaction } from '../kv-store.ts';
import { createWriteQueue, storeClosed } from '../write-queue.ts';
import type { PostgresTimeouts } from './address.ts';
import { type Connections, withConnection } from './connections.ts';
import { isWorthRetrying, unavailable } from './faults.ts';
import { type Place, readMany, readRange } from './reader.ts';
import { type Attempt, attempt, isCommitted, removeNote, type Writer } from './transaction.ts';

/** Attempts of one transaction, if PostgreSQL or the network fails. */
const ATTEMPTS_MAX = 4;
const RESOLVE_PAUSE_MS = 200;
/** PostgreSQL ends a view that was not read for this time: an open view holds back vacuum. */
const VIEW_IDLE_MS = 10 * 60_000;

/** The counts of all stores of a storage together. */
export interface TransactionCounts {
  retries: number;
  /** Commits whose answer was lost, and that were then found to be there or not. */
  resolved: number;
}

export interface PostgresStoreOptions {
  connections: Connections;
  place: Place;
  counts: TransactionCounts;
  timeouts: PostgresTimeouts;
  /** This store has committed. */
  onCommitted(version: number): void;
  /** @returns stops it */
  watch(listener: CommitListener): () => void;
  onClose(): void;
  /** Throws if reads can't be trusted any more. */
  assertReadable(): void;
}

export function createPostgresStore(options: PostgresStoreOptions): KVStore {
  const { connections, place, counts, timeouts, onCommitted, watch, onClose, assertReadable } =
    options;
  const queue = createWriteQueue();
  const writer: Writer = {
    place,
    noteKey: Buffer.concat([Buffer.from('\0writer'), randomBytes(16)]),
  };
  const views = new Set<View>();
  let commits = 0n;
  let released = false;

  async function write<T>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    const number = ++commits;
    // Other writers wait for their turn: after this time there is no further attempt.
    const deadline = Date.now() + timeouts.connectMs;
    for (let tries = 1; ; tries++) {
      const tried = await tryOnce(number, work);
      switch (tried.outcome) {
        case 'committed':
          onCommitted(tried.version);
          return tried.result;
        case 'nothing':
          return tried.result;
        case 'thrown':
          throw tried.error;
        case 'unknown':
          // The version of the commit is not known.
          if (await resolve(number, tried.error)) {
            onCommitted(Number.POSITIVE_INFINITY);
            return tried.result;
          }
          break;
        case 'failed':
          break;
      }
      const isLast = tries === ATTEMPTS_MAX || Date.now() >= deadline;
      if (isLast || !isWorthRetrying(tried.error)) throw unavailable(tried.error);
      counts.retries++;
    }
  }

  async function tryOnce<T>(
    number: bigint,
    work: (transaction: KVTransaction) => Promise<T>,
  ): Promise<Attempt<T>> {
    let client: pg.PoolClient;
    try {
      client = await connections.toWrite();
    } catch (error) {
      return { outcome: 'failed', error };
    }
    let isSound = false;
    try {
      const tried = await attempt(client, writer, number, work);
      isSound = tried.outcome !== 'failed' && tried.outcome !== 'unknown';
      return tried;
    } finally {
      client.release(!isSound);
    }
  }

  /**
   * Finds out whether a commit is there. Tries for as long as its connection may hold the lock.
   * @throws SyncError STORE_UNAVAILABLE if that can't be found out
   */
  async function resolve(number: bigint, error: unknown): Promise<boolean> {
    const deadline = Date.now() + timeouts.stallMs;
    for (;;) {
      try {
        const isThere = await withConnection(connections.toWrite, (client) =>
          isCommitted(client, writer, number),
        );
        counts.resolved++;
        return isThere;
      } catch {
        if (Date.now() > deadline) throw unavailable(error);
        await new Promise((done) => setTimeout(done, RESOLVE_PAUSE_MS));
      }
    }
  }

  async function openView(connect: () => Promise<pg.PoolClient>): Promise<View> {
    if (queue.closed) throw storeClosed();
    const client = await connect().catch((error: unknown) => {
      throw unavailable(error);
    });
    const view = new View(client, place, {
      onClose: (closed) => views.delete(closed),
      assertReadable,
    });
    views.add(view);
    if (!released) return view;
    // The store was closed meanwhile.
    await view.close();
    throw storeClosed();
  }

  return {
    recovers: true,
    async getMany(keys) {
      if (queue.closed) throw storeClosed();
      return withConnection(connections.toRead, (client) => readMany(client, place, keys)).catch(
        (error: unknown) => {
          throw unavailable(error);
        },
      );
    },
    async *iterate(range) {
      const view = await openView(connections.toRead);
      try {
        yield* view.iterate(range);
      } finally {
        // The entries have been read: only `close` waits for the end of the transaction.
        void view.close();
      }
    },
    exclusive: (work) => queue.run(() => write(work)),
    async view() {
      const view = await openView(connections.toView);
      await view.begun();
      return view;
    },
    onCommit: watch,
    close: () =>
      queue.close(async () => {
        released = true;
        await Promise.all([...views].map((view) => view.close()));
        await withConnection(connections.toWrite, (client) => removeNote(client, writer)).catch(
          () => undefined,
        );
        onClose();
      }),
  };
}

interface ViewOwner {
  onClose(view: View): void;
  assertReadable(): void;
}

/**
 * A read-only transaction on a connection of its own. It sees the state at its first statement. It
 * does not wait for the answer to BEGIN, so a short read costs one round trip.
 */
class View implements KVReader {
  readonly #client: pg.PoolClient;
  readonly #place: Place;
  readonly #owner: ViewOwner;
  readonly #begun: Promise<unknown>;
  #closing: Promise<void> | undefined;
  #isSound = true;

  constructor(client: pg.PoolClient, place: Place, owner: ViewOwner) {
    this.#client = client;
    this.#place = place;
    this.#owner = owner;
    this.#begun = client.query(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ' +
        `SET LOCAL idle_in_transaction_session_timeout = ${VIEW_IDLE_MS}`,
    );
    // The first read rejects with this error.
    this.#begun.catch(() => undefined);
  }

  /** Fixes the state that is read, with a first statement. */
  async begun(): Promise<void> {
    try {
      await this.#read(() => this.#client.query(`SELECT 1 FROM ${this.#place.schema}.layout`));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

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
    if (this.#closing !== undefined) throw storeClosed();
    try {
      const [result] = await Promise.all([read(), this.#begun]);
      this.#owner.assertReadable();
      return result;
    } catch (error) {
      this.#isSound = false;
      throw unavailable(error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    await this.#client.query('ROLLBACK').catch(() => {
      this.#isSound = false;
    });
    this.#client.release(!this.#isSound);
    this.#owner.onClose(this);
  }
}
