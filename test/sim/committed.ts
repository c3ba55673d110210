/**
 * What is committed in a simulation, of all databases, and all that ever was: whatever keeps it,
 * and however many processes write to it, the positions in it rise from commit to commit.
 */

import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { KVReader, KVStore } from '../../src/storage/kv-store.ts';
import {
  EMPTY_MAP,
  entriesOfRange,
  type KVChange,
  type OrderedMap,
  valueByKey,
  withChanges,
} from '../../src/storage/ordered-map.ts';
import type { Loop } from './loop.ts';
import { isForOne, storedChangeSet } from './store-look.ts';
import { TableLedger } from './table-ledger.ts';
import { trace } from './trace.ts';

const LOG_KIND = 'l'.charCodeAt(0);
const ROW_KIND = 'r'.charCodeAt(0);

/** One database. */
export interface Kept {
  readonly databaseId: string;
  map: OrderedMap;
  /** The key of the newest record that the log ever held. */
  newestLogKey: Uint8Array | undefined;
  logged: WireChangeSet[];
  readonly tables: TableLedger;
}

export class Committed {
  /** What should never have happened. */
  readonly violations: string[] = [];
  commits = 0;
  readonly #keptById = new Map<string, Kept>();
  readonly #loop: Loop;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  databaseIds(): string[] {
    return [...this.#keptById.keys()];
  }

  /** Everything that was ever logged, also what has left the log since. */
  logged(databaseId: string): readonly WireChangeSet[] {
    return this.kept(databaseId).logged;
  }

  kept(databaseId: string): Kept {
    const kept = this.#keptById.get(databaseId) ?? {
      databaseId,
      map: EMPTY_MAP,
      newestLogKey: undefined,
      logged: [],
      tables: new TableLedger((what) => this.violations.push(`${databaseId}: ${what}`)),
    };
    this.#keptById.set(databaseId, kept);
    return kept;
  }

  /** @param rowsRead how many the transaction went through, one after the other */
  commit(kept: Kept, changes: readonly KVChange[], rowsRead: number): void {
    for (const [key, value] of changes) {
      if (value !== undefined) trace(this.#loop.nowMs, 'stored', Buffer.from(value).toString());
      if (key[0] !== LOG_KIND || value === undefined) continue;
      if (valueByKey(kept.map, key) !== undefined) continue;
      const { newestLogKey } = kept;
      if (newestLogKey !== undefined && Buffer.compare(newestLogKey, key) >= 0) {
        this.violations.push(`${kept.databaseId}: a position that does not rise`);
      }
      kept.newestLogKey = Uint8Array.from(key);
      if (!isForOne(value)) kept.logged.push(storedChangeSet(value));
    }
    kept.tables.committed(changes, rowsRead);
    kept.map = withChanges(kept.map, changes);
    this.commits++;
  }

  /** A copy that can be looked into, and even written to, without anything happening here. */
  copy(databaseId: string): KVStore {
    let map = this.kept(databaseId).map;
    const reader = (mapNow: () => OrderedMap): KVReader => ({
      getMany: async (keys) => keys.map((key) => valueByKey(mapNow(), key)),
      async *iterate(range) {
        yield* entriesOfRange(mapNow(), range);
      },
    });
    return {
      ...reader(() => map),
      async exclusive(work) {
        const { changes, put } = gatherChanges();
        const result = await work({ ...reader(() => map), ...put });
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
}

/** @param passed told of how many rows were gone through */
export function countingRows(reader: KVReader, passed: (rows: number) => void): KVReader {
  return {
    getMany: (keys) => reader.getMany(keys),
    async *iterate(range) {
      for await (const entries of reader.iterate(range)) {
        if (entries[0]?.[0][0] === ROW_KIND) passed(entries.length);
        yield entries;
      }
    },
  };
}

/** What a transaction puts and deletes, in its order. */
export function gatherChanges() {
  const changes: KVChange[] = [];
  return {
    changes,
    put: {
      put: (key: Uint8Array, value: Uint8Array) => {
        changes.push([Uint8Array.from(key), Uint8Array.from(value)]);
      },
      delete: (key: Uint8Array) => {
        changes.push([Uint8Array.from(key), undefined]);
      },
    },
  };
}
