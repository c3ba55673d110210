/**
 * One database of the shared store, as one process has it open: the semantics of
 * `src/storage/postgres/store.ts` and `transaction.ts`. All that is read and written is inside the
 * lock; a transaction that certainly left nothing is tried again; and of a commit without an answer
 * it is found out what became of it.
 */

import { SyncError } from '../../src/errors/sync-error.ts';
import type { KVReader, KVStore, KVTransaction, KVView } from '../../src/storage/kv-store.ts';
import { entriesOfRange, type OrderedMap, valueByKey } from '../../src/storage/ordered-map.ts';
import { createWriteQueue, storeClosed } from '../../src/storage/write-queue.ts';
import type { CommitWords } from './commit-words.ts';
import { countingRows, gatherChanges } from './committed.ts';
import { type Connection, FENCE_MS } from './shared-connection.ts';
import type { Shared, SharedStore } from './shared-store.ts';

const ATTEMPTS_MAX = 4;
const RESOLVE_MS = 1000;
const RESOLVE_PAUSE_MS = 50;
const RETRY_MS = 100;
const READ_ENTRIES_MAX = 40;

export interface SharedDatabaseOptions {
  store: SharedStore;
  owner: string;
  shared: Shared;
  words: CommitWords;
}

type Work<T> = (transaction: KVTransaction) => Promise<T>;

/** What became of one try. */
type Attempt<T> =
  | { outcome: 'committed'; result: T; version: number }
  | { outcome: 'nothing'; result: T }
  | { outcome: 'failed'; error: unknown }
  | { outcome: 'unknown'; error: unknown; result: T };

export function unavailable(cause: unknown): SyncError {
  if (cause instanceof SyncError) return cause;
  return new SyncError('STORE_UNAVAILABLE', 'the simulated store cannot be reached', {
    cause,
    retryAfterMs: RETRY_MS,
  });
}

export function openSharedDatabase(options: SharedDatabaseOptions): KVStore {
  const { store, owner, shared, words } = options;
  const { loop, random, committed } = store;
  const kept = committed.kept(shared.databaseId);
  const queue = createWriteQueue();
  /** Stands for this writer in what it notes with its commits. */
  const writer = {};
  const views = new Set<KVView>();
  let commits = 0;
  let released = false;

  async function write<T>(work: Work<T>): Promise<T> {
    const number = ++commits;
    for (let tries = 1; ; tries++) {
      const tried = await attempt(number, work);
      if (tried.outcome === 'nothing') return tried.result;
      if (tried.outcome === 'committed') {
        words.committed(shared.databaseId, tried.version);
        // Others read it already, while this writer doesn't know that it is there.
        if (store.lingerMs > 0) await loop.sleep(random.next() * store.lingerMs);
        return tried.result;
      }
      if (tried.outcome === 'unknown' && (await resolve(number, tried.error))) {
        words.committed(shared.databaseId, Number.POSITIVE_INFINITY);
        return tried.result;
      }
      if (tries === ATTEMPTS_MAX) throw unavailable(tried.error);
    }
  }

  /** @throws what `work` throws by itself */
  async function attempt<T>(number: number, work: Work<T>): Promise<Attempt<T>> {
    const connection = store.connect(owner);
    let failure: unknown;
    const failed = (error: unknown): never => {
      failure ??= error;
      throw unavailable(error);
    };
    try {
      const { changes, put } = gatherChanges();
      let result: T;
      let rowsRead = 0;
      try {
        await connection
          .ask<undefined>((answer) => connection.lock(shared.lock, answer))
          .catch(failed);
        const map = () => kept.map;
        const reader = createReader({ connection, map, demandOpen: () => undefined, failed });
        const counting = countingRows(reader, (rows) => {
          rowsRead += rows;
        });
        result = await work({ ...counting, ...put });
      } catch (error) {
        if (failure === undefined) throw error;
        return { outcome: 'failed', error: failure };
      }
      if (changes.length === 0) return { outcome: 'nothing', result };
      if (random.chance(store.stalls)) await loop.sleep(random.next() * 2 * FENCE_MS);
      try {
        const version = await connection.ask<number>((answer) => {
          committed.commit(kept, changes, rowsRead);
          shared.notes.set(writer, number);
          shared.version++;
          connection.unlock();
          answer(shared.version);
        });
        return { outcome: 'committed', result, version };
      } catch (error) {
        return { outcome: 'unknown', error, result };
      }
    } finally {
      connection.close();
    }
  }

  /** Whether the commit with this number is there. @throws STORE_UNAVAILABLE if it cannot be known */
  async function resolve(number: number, error: unknown): Promise<boolean> {
    const deadlineMs = loop.nowMs + RESOLVE_MS;
    for (;;) {
      const connection = store.connect(owner);
      try {
        await connection.ask<undefined>((answer) => connection.lock(shared.lock, answer));
        return await connection.ask<boolean>((answer) =>
          answer(shared.notes.get(writer) === number),
        );
      } catch {
        if (loop.nowMs > deadlineMs) throw unavailable(error);
        await loop.sleep(RESOLVE_PAUSE_MS);
      } finally {
        connection.close();
      }
    }
  }

  async function openView(): Promise<KVView> {
    if (queue.closed) throw storeClosed();
    const connection = store.connect(owner);
    const failed = (error: unknown): never => {
      throw unavailable(error);
    };
    const seen = await connection
      .ask<OrderedMap>((answer) => answer(kept.map))
      .catch((error: unknown) => {
        connection.close();
        return failed(error);
      });
    let closed = false;
    const demandOpen = () => {
      if (closed) throw storeClosed();
    };
    const view: KVView = {
      ...createReader({ connection, map: () => seen, demandOpen, failed }),
      close: async () => {
        if (closed) return;
        closed = true;
        views.delete(view);
        connection.close();
      },
    };
    views.add(view);
    if (!released) return view;
    await view.close();
    throw storeClosed();
  }

  return {
    recovers: true,
    async getMany(keys) {
      if (queue.closed) throw storeClosed();
      const connection = store.connect(owner);
      try {
        return await connection.ask<(Uint8Array | undefined)[]>((answer) =>
          answer(keys.map((key) => valueByKey(kept.map, key))),
        );
      } catch (error) {
        throw unavailable(error);
      } finally {
        connection.close();
      }
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
    onCommit: (listener) => words.listen(shared.databaseId, listener),
    close: () =>
      queue.close(async () => {
        released = true;
        await Promise.all([...views].map((view) => view.close()));
        words.unwatch(shared.databaseId);
      }),
  };
}

interface ReaderOptions {
  connection: Connection;
  /** What there is to be read when the store comes to it. */
  map(): OrderedMap;
  /** @throws if nothing may be read any more */
  demandOpen(): void;
  failed(error: unknown): never;
}

function createReader({ connection, map, demandOpen, failed }: ReaderOptions): KVReader {
  return {
    async getMany(keys) {
      demandOpen();
      return connection
        .ask<(Uint8Array | undefined)[]>((answer) =>
          answer(keys.map((key) => valueByKey(map(), key))),
        )
        .catch(failed);
    },
    async *iterate(range) {
      for (const chunk of entriesOfRange(map(), range)) {
        for (let start = 0; start < chunk.length; start += READ_ENTRIES_MAX) {
          demandOpen();
          await connection.ask<undefined>((answer) => answer(undefined)).catch(failed);
          yield chunk.slice(start, start + READ_ENTRIES_MAX);
        }
      }
    },
  };
}
