/**
 * Where a replica is kept: a map of texts to JSON values that is read whole once, and then written
 * in batches. A batch is there as a whole or not at all.
 */

/** What is stored: JSON, which a store keeps equal. */
export type StoredValue = unknown;

export type StoreOperation =
  | { type: 'put'; key: string; value: StoredValue }
  | { type: 'delete'; key: string }
  /** Deletes all keys that begin with a prefix. */
  | { type: 'clear'; prefix: string };

export interface ClientStore {
  /**
   * What is stored, in any order. Called once before the first `commit`, and again when another tab
   * may have written.
   */
  load(): Promise<Iterable<[key: string, value: StoredValue]>>;
  /**
   * Carries out all operations, in their order, or none. Resolves when they outlive the end of the
   * process. Not called again before it has settled.
   * @throws StoreError when it can't; the caller tries again
   */
  commit(operations: readonly StoreOperation[]): Promise<void>;
  close(): Promise<void>;
}

export type StoreErrorCode =
  /** There is no room, or no right to it. */
  | 'STORE_FULL'
  /** Written by a newer version of the client, which another tab may run. */
  | 'STORE_VERSION'
  | 'STORE_DAMAGED'
  | 'STORE_UNAVAILABLE';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}
