/**
 * Makes a `KVStore` from three parts: views, an atomic write, and closing. For stores that gather
 * the writes of a transaction in memory. The order of writers, closing, failures, and reading
 * outside of views are the same for all of them, and are here.
 */

import { SyncError } from '../errors/sync-error.ts';
import { draftWrites } from './draft.ts';
import type { KVReader, KVStore, KVView } from './kv-store.ts';
import type { KVChange } from './ordered-map.ts';
import { createWriteQueue, storeClosed } from './write-queue.ts';

export interface StoreParts {
  /**
   * A view of what is committed now. It is closed once, when no call is under way; an iteration may
   * be.
   */
  view(): KVView | Promise<KVView>;
  /** Writes all or nothing, durably, in order: the last write of a key counts. */
  commit(writes: readonly KVChange[]): void | Promise<void>;
  /** Called once, after the last view was closed. */
  close(): void | Promise<void>;
}

export function createStore(parts: StoreParts): KVStore {
  const queue = createWriteQueue();
  const openViews = new Set<KVView>();
  let released = false;
  let failure: SyncError | undefined;

  async function openView(): Promise<KVView> {
    const inner = await parts.view();
    const assertOpen = () => {
      if (!openViews.has(view)) throw storeClosed();
    };
    const view: KVView = {
      async getMany(keys) {
        assertOpen();
        return inner.getMany(keys);
      },
      async *iterate(range) {
        assertOpen();
        for await (const entries of inner.iterate(range)) {
          yield entries;
          assertOpen();
        }
      },
      async close() {
        if (openViews.delete(view)) await inner.close();
      },
    };
    openViews.add(view);
    // The store was closed meanwhile.
    if (released) {
      await view.close();
      throw storeClosed();
    }
    return view;
  }

  function createReader(isClosed: () => boolean): KVReader {
    const open = () => {
      if (isClosed()) throw storeClosed();
      return openView();
    };
    return {
      async getMany(keys) {
        const view = await open();
        try {
          return await view.getMany(keys);
        } finally {
          await view.close();
        }
      },
      async *iterate(range) {
        const view = await open();
        try {
          yield* view.iterate(range);
        } finally {
          await view.close();
        }
      },
    };
  }

  /** Readable until the last transaction has ended, also after `close` was called. */
  const committed = createReader(() => released);

  async function commit(writes: readonly KVChange[]): Promise<void> {
    try {
      await parts.commit(writes);
    } catch (cause) {
      const what = 'a write to the store of this database failed';
      const until = 'it takes no more until it is opened again';
      failure = new SyncError('STORE_UNAVAILABLE', `${what}: ${until}`, { cause });
      throw failure;
    }
  }

  return {
    ...createReader(() => queue.closed),
    exclusive: (work) =>
      queue.run(async () => {
        if (failure !== undefined) throw failure;
        const { result, writes } = await draftWrites(committed, work);
        if (writes.length > 0) await commit(writes);
        return result;
      }),
    async view() {
      if (queue.closed) throw storeClosed();
      return openView();
    },
    // No other process can have such a store open.
    onCommit: () => () => undefined,
    close: () =>
      queue.close(async () => {
        released = true;
        await Promise.all([...openViews].map((view) => view.close()));
        await parts.close();
      }),
  };
}
