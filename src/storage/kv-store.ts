/**
 * The seam between the engine and whatever keeps its bytes.
 *
 * One `KVStore` is one database: an ordered map from byte strings to byte
 * strings, keys in memcmp order. The engine needs five things of it: many keys
 * at once, ordered ranges, an atomic durable write, one writer at a time, and a
 * signal when something was written. `src/testing/kv-store-contract.ts` says
 * exactly what that means, as tests that every implementation runs.
 */

export type KVEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Keys from `gte` or after `gt`, up to and without `lt`, in order. */
export interface KVRange {
  gt?: Uint8Array;
  gte?: Uint8Array;
  lt: Uint8Array;
  /** Last key first. */
  reverse?: boolean;
  /** At most so many entries. */
  limit?: number;
}

export interface KVReader {
  /** The values of `keys`, in their order; `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * The entries of a range, in arrays of the store's own choosing, none of them
   * empty. One array is in memory at a time, and holds at most about 1 MiB
   * beyond its last entry. Breaking out of the loop releases what it holds.
   */
  iterate(range: KVRange): AsyncIterable<readonly KVEntry[]>;
}

/** A reader that goes on seeing what was committed when it was made. */
export interface KVView extends KVReader {
  close(): Promise<void>;
}

/** Reads see what is committed, not this transaction's own writes. */
export interface KVTransaction extends KVReader {
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

export interface KVStore extends KVReader {
  /**
   * Runs `work` while nobody else writes to this database, in this process or
   * any other, then commits what it put and deleted: all or nothing, also across
   * a crash, and durable when the promise resolves. When `work` throws, nothing
   * is written and the error passes through. Calls queue in their order.
   * Not to be called from inside `work`.
   */
  exclusive<T>(work: (transaction: KVTransaction) => Promise<T>): Promise<T>;
  /** A consistent view as of now. Costs little until closed, but must be closed. */
  view(): Promise<KVView>;
  /**
   * Calls `listener` after each commit that may have come from elsewhere (another
   * process on the same store). May call too often, never too rarely.
   * @returns stops it
   */
  onCommit(listener: () => void): () => void;
  /** Waits for the running transaction; later calls reject. */
  close(): Promise<void>;
}

/** All the databases of one server. */
export interface Storage {
  /** For people: what it is and where, without secrets. */
  readonly description: string;
  /**
   * Opens a database, making it if need be. The caller opens each one once at a time.
   * @param databaseId valid as `PROTOCOL.md` has it; two ids never share a store
   */
  open(databaseId: string): Promise<KVStore>;
  /** Releases the data directory or connections; every store is closed by then. */
  close(): Promise<void>;
}
