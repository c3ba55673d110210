/**
 * The interface between the engine and a storage.
 *
 * One `KVStore` is one database: an ordered map from byte strings to byte strings, with keys in
 * memcmp order. The engine needs five things of it: reads of many keys at once, ordered ranges,
 * atomic durable writes, one writer at a time, and a signal after commits of other processes.
 * `src/testing/kv-store-contract.ts` defines them exactly, as tests that every implementation runs.
 *
 * Keys that begin with a lowercase letter are the engine's; those that begin
 * with the byte 0 are the storage layer's own (see `format.ts`).
 */

export type KVEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Keys from `gte` or after `gt` (not both) to before `lt`, in order. */
export interface KVRange {
  gt?: Uint8Array;
  gte?: Uint8Array;
  lt: Uint8Array;
  /** Last key first. */
  reverse?: boolean;
  /** At most so many entries; 0 is none. */
  limit?: number;
  /**
   * About how many bytes of keys and values the caller will use: a hint for how much to read at
   * once.
   */
  bytes?: number;
}

/** Callers must not change the returned bytes: a store may return its own. */
export interface KVReader {
  /** The values of `keys`, in their order; `undefined` where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * The entries of a range, as of the moment when the first array is requested, in arrays of any
   * length but 0. One array is in memory at a time, and has at most about 1 MiB before its last
   * entry. Breaking out of the loop releases all resources. Each iterable is for one loop.
   */
  iterate(range: KVRange): AsyncIterable<readonly KVEntry[]>;
}

/** A reader that keeps seeing what was committed when it was made. */
export interface KVView extends KVReader {
  /**
   * Must be called, once its loops have ended. More calls, and calls after the store was closed, do
   * nothing.
   */
  close(): Promise<void>;
}

/** Reads see what is committed, not this transaction's own writes. It ends when `work` ends. */
export interface KVTransaction extends KVReader {
  /** Copies both at once. The last put or delete of a key counts. */
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

/** Never rejects. */
export type CommitListener = () => unknown;

export interface WriteOptions {
  /**
   * What happens to this write if the database does not exist: it alone does not create the
   * database. `keep`: it is kept in memory until another write creates the database. `drop`: it is
   * discarded. See `absent-store.ts`; the store of an existing database ignores this.
   */
  whereAbsent?: 'keep' | 'drop';
}

export interface KVStore extends KVReader {
  /**
   * Runs `work` as the only writer to this database, in this process and all others, then commits
   * what it put and deleted: all or nothing, also across a crash, and durable when the promise
   * resolves. If `work` throws, nothing is written and the error passes through. Calls run in their
   * order. Must not be called from inside `work`.
   *
   * A commit that fails rejects with `STORE_UNAVAILABLE`, and so do later ones until the store was
   * closed and opened again. Until then reads show nothing of it. Afterwards either all of it is
   * there or nothing: the caller must read again what it keeps in memory about this database.
   *
   * A store that `recovers` may run `work` again if it is certain that the attempt before wrote
   * nothing.
   */
  exclusive<T>(
    work: (transaction: KVTransaction) => Promise<T>,
    options?: WriteOptions,
  ): Promise<T>;
  /**
   * Whether it recovers from a failed commit by itself, so that it need not be opened again.
   * Such a failure carries `retryAfterMs`.
   */
  readonly recovers?: boolean;
  /** A consistent view as of now. Costs little until closed, but must be closed. */
  view(): Promise<KVView>;
  /**
   * Calls `listener` after another process on the same data may have committed. It may call too
   * often, never too rarely; commits of this store itself need no call. A listener whose promise
   * resolves to `false` could not read the commit: call it again later.
   * @returns stops it
   */
  onCommit(listener: CommitListener): () => void;
  /**
   * Frees the space of deleted entries, while readers and writers go on. Optional: a store may do
   * so by itself.
   */
  reclaimSpace?(): Promise<void>;
  /** Waits for transactions that were requested before; later calls reject. */
  close(): Promise<void>;
}

/** Connections of one kind, as of now. */
export interface StoragePool {
  name: string;
  /** The most connections that it may open. */
  max: number;
  open: number;
  /** Open connections that are not in use. */
  idle: number;
  /** Callers that wait for a connection. */
  waiting: number;
}

/** Notifications of commits by other processes on the same data. */
export interface StorageNotifications {
  connected: boolean;
  /**
   * The time from the last commit of this process until its own notification came back, or for
   * which one has been awaited, if that is longer. By the clock of this process.
   */
  lagMs?: number;
  /** How often the connection was opened again. */
  reconnects: number;
  /** Commits of other processes that were found by polling, without a notification. */
  missed: number;
}

/**
 * What a storage counts. Names must not be secret: any client that reaches the port may read them.
 */
export interface StorageFigures {
  pools?: readonly StoragePool[];
  notifications?: StorageNotifications;
  transactions?: {
    /** Attempts of a transaction after the first. */
    retries: number;
    /** Commits whose answer was lost, and that were then found to be there or not. */
    resolved: number;
  };
}

/** For a storage that can fail by itself, such as a database server. */
export interface StorageHealth {
  /**
   * Resolves if the storage has just proved usable; rejects otherwise, within a second or so. One
   * call at a time. The message of a `SyncError` is public, its cause is only logged.
   */
  check(): Promise<void>;
  /** Returns at once, in any state. */
  figures(): StorageFigures;
}

/** A database that does not exist yet, on a storage that several processes share. */
export interface AbsentDatabase {
  /**
   * 16 bytes, the same for all processes on the same data: they become its coordinator's site id.
   */
  seed: Uint8Array;
  /**
   * Calls `listener` after another process may have created the database. As `KVStore.onCommit`.
   * @returns stops it, to be called before the database is opened
   */
  onMade(listener: CommitListener): () => void;
}

/** All the databases of one server. */
export interface Storage {
  /** For people: what it is and where, without secrets. */
  readonly description: string;
  /**
   * Opens a database, and creates it if needed. The caller never opens one that is open.
   * @param databaseId valid by `isDatabaseId`; two ids never share a store
   * @throws SyncError INVALID_DATABASE_ID, STORE_FORMAT (see `format.ts`), STORE_UNAVAILABLE
   */
  open(databaseId: string): Promise<KVStore>;
  /** The ids of all existing databases. Optional: without it `verify` needs names. */
  list?(): Promise<string[]>;
  /**
   * Whether a database exists. Creates nothing. Optional: with it the first write creates a
   * database; without it opening does, also for clients that only read.
   */
  has?(databaseId: string): Promise<boolean>;
  /**
   * For a shared storage with `has`: called for a database that does not exist. Optional: without
   * it, sessions of such a database are closed once it exists.
   */
  absentDatabase?(databaseId: string): Promise<AbsentDatabase>;
  /** Files that an open database keeps open. Default: none. */
  readonly filesPerDatabase?: number;
  /** Whether other processes may have its databases open at the same time. Default: no. */
  readonly isShared?: boolean;
  /** Optional: without it the storage counts as healthy while it is open. */
  readonly health?: StorageHealth;
  /** Closes stores that are still open, and releases the data directory or connections. */
  close(): Promise<void>;
}
