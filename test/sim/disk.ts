/**
 * What a simulated coordinator keeps its databases on. It outlives the process; what was not
 * synced when that was killed is gone, as a whole. A write may fail, and then nobody knows whether
 * it is there; while the disk is full they all do.
 */

import { SyncError } from '../../src/errors.ts';
import { ensureFormat } from '../../src/storage/format.ts';
import type { KVReader, KVStore, Storage } from '../../src/storage/kv-store.ts';
import {
  EMPTY_MAP,
  entriesOfRange,
  type KVChange,
  type OrderedMap,
  valueByKey,
  withChanges,
} from '../../src/storage/ordered-map.ts';
import { createWriteQueue, storeClosed } from '../../src/storage/write-queue.ts';
import type { WireChangeSet } from '../../src/wire/schemas.ts';
import type { Loop } from './loop.ts';
import type { Random } from './random.ts';
import { trace } from './trace.ts';

const LOG_KIND = 'l'.charCodeAt(0);
const READ_ENTRIES_MAX = 7;

interface Kept {
  map: OrderedMap;
  /** The key of the newest record that the log ever held. */
  newestLogKey: Uint8Array | undefined;
  /** Everything that was ever logged, also what has left the log since. */
  logged: WireChangeSet[];
}

export class Disk {
  isFull = false;
  /** How likely a write is to fail. */
  failures = 0;
  /** What should never have happened. */
  readonly violations: string[] = [];
  /** Writes that were synced. */
  commits = 0;
  readonly #keptById = new Map<string, Kept>();
  readonly #loop: Loop;
  readonly #random: Random;

  constructor(loop: Loop, random: Random) {
    this.#loop = loop;
    this.#random = random;
  }

  databaseIds(): string[] {
    return [...this.#keptById.keys()];
  }

  /** Everything that was ever logged, also what has left the log since. */
  logged(databaseId: string): readonly WireChangeSet[] {
    return this.#kept(databaseId).logged;
  }

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

  /** A copy that can be looked into, and even written to, without anything happening here. */
  copy(databaseId: string): KVStore {
    let map = this.#kept(databaseId).map;
    const reader = (mapNow: () => OrderedMap): KVReader => ({
      getMany: async (keys) => keys.map((key) => valueByKey(mapNow(), key)),
      async *iterate(range) {
        yield* entriesOfRange(mapNow(), range);
      },
    });
    return {
      ...reader(() => map),
      async exclusive(work) {
        const changes: KVChange[] = [];
        const result = await work({
          ...reader(() => map),
          put: (key, value) => changes.push([Uint8Array.from(key), Uint8Array.from(value)]),
          delete: (key) => changes.push([Uint8Array.from(key), undefined]),
        });
        map = withChanges(map, changes);
        return result;
      },
      async view() {
        const seen = map;
        return { ...reader(() => seen), close: async () => undefined };
      },
      onCommit: () => () => undefined,
      close: async () => undefined,
    };
  }

  #kept(databaseId: string): Kept {
    const kept = this.#keptById.get(databaseId) ?? {
      map: EMPTY_MAP,
      newestLogKey: undefined,
      logged: [],
    };
    this.#keptById.set(databaseId, kept);
    return kept;
  }

  async #pause(probability: number, longestMs: number): Promise<void> {
    if (this.#random.chance(probability)) {
      await this.#loop.sleep(this.#random.next() * longestMs);
    }
  }

  #openStore(databaseId: string, onClose: () => void): KVStore {
    const kept = this.#kept(databaseId);
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
          const changes: KVChange[] = [];
          const result = await work({
            ...reader(committed),
            put: (key, value) => changes.push([Uint8Array.from(key), Uint8Array.from(value)]),
            delete: (key) => changes.push([Uint8Array.from(key), undefined]),
          });
          if (changes.length === 0) return result;
          await this.#loop.sleep(this.#random.next() * 4);
          const fails = this.isFull || this.#random.chance(this.failures);
          if (!fails || this.#random.chance(0.3)) this.#sync(databaseId, kept, changes);
          if (fails) {
            failure = new SyncError('STORE_UNAVAILABLE', 'a simulated write has failed');
            throw failure;
          }
          map = kept.map;
          await this.#loop.sleep(this.#random.next());
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

  #sync(databaseId: string, kept: Kept, changes: readonly KVChange[]): void {
    for (const [key, value] of changes) {
      if (value !== undefined) trace(this.#loop.nowMs, 'stored', Buffer.from(value).toString());
      if (key[0] !== LOG_KIND || value === undefined) continue;
      if (valueByKey(kept.map, key) !== undefined) continue;
      const { newestLogKey } = kept;
      if (newestLogKey !== undefined && Buffer.compare(newestLogKey, key) >= 0) {
        this.violations.push(`${databaseId}: a position that does not rise`);
      }
      kept.newestLogKey = Uint8Array.from(key);
      kept.logged.push(JSON.parse(Buffer.from(value).toString().split('\n')[1] ?? ''));
    }
    kept.map = withChanges(kept.map, changes);
    this.commits++;
  }
}
