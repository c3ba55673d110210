/**
 * What a simulated coordinator keeps its databases on. It outlives the process; what was not
 * synced when that was killed is gone, as a whole. A write may fail, and then nobody knows whether
 * it is there; while the disk is full they all do.
 */

import { SyncError } from '../../src/errors/sync-error.ts';
import { ensureFormat } from '../../src/storage/format.ts';
import type { KVReader, KVStore, Storage } from '../../src/storage/kv-store.ts';
import { entriesOfRange, type OrderedMap, valueByKey } from '../../src/storage/ordered-map.ts';
import { createWriteQueue, storeClosed } from '../../src/storage/write-queue.ts';
import { Committed, countingRows, gatherChanges } from './committed.ts';
import type { Loop } from './loop.ts';
import type { Random } from './random.ts';
import type { SimStorage } from './sim-storage.ts';

const READ_ENTRIES_MAX = 7;

export class Disk implements SimStorage {
  readonly committed: Committed;
  #isFull = false;
  /** How likely a write is to fail. */
  #failures = 0;
  lingerMs = 0;
  readonly #loop: Loop;
  readonly #random: Random;

  constructor(loop: Loop, random: Random) {
    this.committed = new Committed(loop);
    this.#loop = loop;
    this.#random = random;
  }

  toggleOutage(): void {
    this.#isFull = !this.#isFull;
  }

  changeFaults(): void {
    this.#failures = this.#random.pick([0, 0, 0.05, 0.3]);
  }

  mend(): void {
    this.#isFull = false;
    this.#failures = 0;
    this.lingerMs = 0;
  }

  hearLate(): void {}

  /** Whatever was not synced has gone with it. */
  killed(): void {}

  /** What a process sees of it. */
  mount(): Storage {
    const open = new Map<string, KVStore>();
    return {
      description: 'simulated',
      open: async (databaseId) => {
        if (open.has(databaseId)) throw new TypeError(`${databaseId} is already open`);
        await this.#pause(0.5, 3);
        const store = this.#openStore(databaseId, () => open.delete(databaseId));
        open.set(databaseId, store);
        return ensureFormat(store, databaseId);
      },
      close: async () => {
        await Promise.all([...open.values()].map((store) => store.close()));
      },
    };
  }

  async #pause(probability: number, longestMs: number): Promise<void> {
    if (this.#random.chance(probability)) {
      await this.#loop.sleep(this.#random.next() * longestMs);
    }
  }

  #openStore(databaseId: string, onClose: () => void): KVStore {
    const kept = this.committed.kept(databaseId);
    /** What this process sees: what it has heard to be synced. */
    let map = kept.map;
    const queue = createWriteQueue();
    let failure: SyncError | undefined;
    let released = false;

    const reader = (mapNow: () => OrderedMap): KVReader => {
      const pause = () => this.#pause(0.15, 2);
      return {
        async getMany(keys) {
          const seen = mapNow();
          await pause();
          return keys.map((key) => valueByKey(seen, key));
        },
        async *iterate(range) {
          const seen = mapNow();
          for (const chunk of entriesOfRange(seen, range)) {
            for (let start = 0; start < chunk.length; start += READ_ENTRIES_MAX) {
              await pause();
              if (released) throw storeClosed();
              yield chunk.slice(start, start + READ_ENTRIES_MAX);
            }
          }
        },
      };
    };
    const committed = () => {
      if (released) throw storeClosed();
      return map;
    };
    return {
      ...reader(() => {
        if (queue.closed) throw storeClosed();
        return map;
      }),
      exclusive: (work) =>
        queue.run(async () => {
          if (failure !== undefined) throw failure;
          const { changes, put } = gatherChanges();
          let rowsRead = 0;
          const counting = countingRows(reader(committed), (rows) => {
            rowsRead += rows;
          });
          const result = await work({ ...counting, ...put });
          if (changes.length === 0) return result;
          await this.#loop.sleep(this.#random.next() * 4);
          const fails = this.#isFull || this.#random.chance(this.#failures);
          const isThere = !fails || this.#random.chance(0.3);
          if (isThere) this.committed.commit(kept, changes, rowsRead);
          if (fails) {
            failure = new SyncError('STORE_UNAVAILABLE', 'a simulated write has failed');
            throw failure;
          }
          map = kept.map;
          // Others read it already, while this writer doesn't know that it is there.
          await this.#loop.sleep(this.#random.next() * Math.max(1, this.lingerMs));
          return result;
        }),
      async view() {
        if (queue.closed) throw storeClosed();
        const seen = map;
        let closed = false;
        return {
          ...reader(() => {
            if (closed || released) throw storeClosed();
            return seen;
          }),
          close: async () => {
            closed = true;
          },
        };
      },
      onCommit: () => () => undefined,
      close: () =>
        queue.close(async () => {
          released = true;
          onClose();
        }),
    };
  }
}
