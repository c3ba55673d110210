/**
 * The seam between the engine and whatever keeps its bytes.
 *
 * One `KVStore` is one database: an ordered map from byte strings to byte
 * strings, keys in memcmp order. The engine needs five things of it: many keys
 * at once, ordered ranges, an atomic durable write, one writer at a time, and a
 * signal when something was written. `src/testing/kv-store-contract.ts` says
 * exactly what that means, as tests that every implementation runs.
 *
 * Keys that begin with a lowercase letter are the engine's; those that begin
 * with the byte 0 are the storage layer's own (see `format.ts`).
 */

export type KVEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Keys from `gte` or after `gt` (not both), up to and without `lt`, in order. */
export interface KVRange {
  gt?: Uint8Array;
  gte?: Uint8Array;
  lt: Uint8Array;
  /** Last key first. */
  reverse?: boolean;
  /** At most so many entries; 0 is none. */
  limit?: number;
  /** About so many bytes of keys and values are wanted: a hint, for what is worth reading at once. */
  bytes?: number;
}

/** What comes out is not to be changed: a store may hand out its own bytes. */
export interface KVReader {
  /** The values of `keys`, in their order; `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * The entries of a range, in arrays of the store's own choosing, none of them
   * empty, as they were when the first array was asked for. One array is in memory
   * at a time, and holds at most about 1 MiB beyond its last entry. Breaking out of
   * the loop releases what it holds; an iterable is for one loop.
   */
  iterate(range: KVRange): AsyncIterable<readonly KVEntry[]>;
}

/** A reader that goes on seeing what was committed when it was made. */
export interface KVView extends KVReader {
  /** To be called once its loops have ended, and always; again, or after the store's, is harmless. */
  close(): Promise<void>;
}

/** Reads see what is committed, not this transaction's own writes. It ends with `work`. */
export interface KVTransaction extends KVReader {
  /** Copies both at once. The last put or delete of a key is the one that counts. */
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

/** Never rejects. */
export type CommitListener = () => unknown;

export interface WriteOptions {
  /**
   * A database that is not there is not made for what is written: it is kept in memory until the database is
   * made for something else, or dropped. See `absent-store.ts`; a store that is there pays no heed to it.
   */
  whereAbsent?: 'keep' | 'drop';
}

export interface KVStore extends KVReader {
  /**
   * Runs `work` while nobody else writes to this database, in this process or
   * any other, then commits what it put and deleted: all or nothing, also across
   * a crash, and durable when the promise resolves. When `work` throws, nothing
   * is written and the error passes through. Calls queue in their order.
   * Not to be called from inside `work`.
   *
   * A commit that fails rejects with `STORE_UNAVAILABLE`, and so do those after it
   * until the store was closed and opened again. Nothing of it is to be seen until
   * then. Whether it is there afterwards is unknown, but it is so as a whole: what
   * the caller keeps in memory about this database must be read anew.
   *
   * A store that `recovers` may run `work` again when it is certain that the try before
   * left nothing.
   */
  exclusive<T>(
    work: (transaction: KVTransaction) => Promise<T>,
    options?: WriteOptions,
  ): Promise<T>;
  /**
   * After a failed commit it goes on by itself as soon as it can, so it need not be opened again.
   * Such a failure carries `retryAfterMs`.
   */
  readonly recovers?: boolean;
  /** A consistent view as of now. Costs little until closed, but must be closed. */
  view(): Promise<KVView>;
  /**
   * Calls `listener` after somebody else (another process on the same data) may have
   * committed. May call too often, never too rarely; this store's own commits need no call.
   * A listener whose promise gives `false` could not look: call it again later.
   * @returns stops it
   */
  onCommit(listener: CommitListener): () => void;
  /** Gives back the space of what was deleted, beside readers and writers. Optional: it may see to that itself. */
  reclaimSpace?(): Promise<void>;
  /** Waits for the transactions that were asked for before; later calls reject. */
  close(): Promise<void>;
}

/** Connections of one kind, as of now. */
export interface StoragePool {
  name: string;
  /** The most that there may be. */
  max: number;
  open: number;
  /** Open, and nobody uses it. */
  idle: number;
  /** How many wait for one. */
  waiting: number;
}

/** Word of commits from other processes on the same data. */
export interface StorageNotifications {
  connected: boolean;
  /**
   * From a commit of this process until its own word of it came back, the last time; or since when
   * word is awaited, if that is longer. By the clock of this process alone.
   */
  lagMs?: number;
  /** How often the connection was made anew. */
  reconnects: number;
  /** Commits of others that no word had come of: they were found by asking. */
  missed: number;
}

/** What a storage counts, in words that name nothing secret: whoever reaches the port may read them. */
export interface StorageFigures {
  pools?: readonly StoragePool[];
  notifications?: StorageNotifications;
  transactions?: {
    /** Tries of a transaction after the first. */
    retries: number;
    /** Commits whose answer was lost, and of which it was found out whether they are there. */
    resolved: number;
  };
}

/** For a storage that can fail by itself, such as a database server. */
export interface StorageHealth {
  /**
   * Resolves when the storage has just shown that it can be used; rejects otherwise, in a second or
   * so. One call at a time. The message of a `SyncError` is shown to everybody, its cause is logged.
   */
  check(): Promise<void>;
  /** At once, whatever state it is in. */
  figures(): StorageFigures;
}

/** A database that is not there yet, on a storage that several processes share. */
export interface AbsentDatabase {
  /** 16 bytes, the same for all processes on the same data: its site id is to be the same, too. */
  seed: Uint8Array;
  /**
   * Calls `listener` after another process may have made the database. As `KVStore.onCommit`.
   * @returns stops it, which is to be done before the database is opened
   */
  onMade(listener: CommitListener): () => void;
}

/** All the databases of one server. */
export interface Storage {
  /** For people: what it is and where, without secrets. */
  readonly description: string;
  /**
   * Opens a database, making it if need be. The caller opens each one once at a time.
   * @param databaseId valid as `isDatabaseId` has it; two ids never share a store
   * @throws SyncError INVALID_DATABASE_ID, STORE_FORMAT (see `format.ts`), STORE_UNAVAILABLE
   */
  open(databaseId: string): Promise<KVStore>;
  /** The ids of all databases that are there. Optional: without it `verify` has to be given names. */
  list?(): Promise<string[]>;
  /**
   * Whether a database is there. Makes nothing. Optional: without it a database is made when it is opened,
   * also by those who only read; with it, by the first write.
   */
  has?(databaseId: string): Promise<boolean>;
  /** Of a shared storage that has `has`, for one that is not there. Optional: then sessions that wait for it are closed once it is. */
  absentDatabase?(databaseId: string): Promise<AbsentDatabase>;
  /** How many files an open database keeps open. Optional: none. */
  readonly filesPerDatabase?: number;
  /** Whether other processes may have its databases open at the same time. Optional: not, if it is silent. */
  readonly isShared?: boolean;
  /** Optional: one that does not tell is taken to be well for as long as it is open. */
  readonly health?: StorageHealth;
  /** Releases the data directory or connections; closes what was left open. */
  close(): Promise<void>;
}
