/**
 * Where a replica is kept: a map of texts to JSON values that is read whole once, and then written
 * in batches. A batch is there as a whole or not at all.
 */

import type { Environment } from '../environment.ts';
import type { Tabs, TabsPort } from '../tabs.ts';

/** What is stored: JSON, which a store keeps equal. */
export type StoredValue = unknown;

export type StoreOperation =
  | { type: 'put'; key: string; value: StoredValue }
  | { type: 'delete'; key: string }
  /** Deletes all keys that begin with a prefix. */
  | { type: 'clear'; prefix: string };

/** A text that a key must have; `undefined` for a key that must not be there. */
export interface Condition {
  key: string;
  value: string | undefined;
}

export interface ClientStore {
  /**
   * Joins the tabs that have this very store open as well, as `Tabs` of `./indexeddb` does; missing
   * where nobody else can have it. So an app that keeps its replica elsewhere has nothing of tabs.
   */
  readonly openTabs?: (environment: Environment, port: TabsPort) => Tabs;
  /** Set by the client: told of what befalls the store while nobody waits for it. */
  onFault?: (fault: StoreError) => void;
  /**
   * What is stored, in any order. Called once before the first `commit`, and again when another tab
   * may have written.
   */
  load(): Promise<Iterable<[key: string, value: StoredValue]>>;
  /**
   * Carries out all operations, in their order, or none. Resolves when they outlive the end of the
   * process. Not called again before it has settled.
   * @param condition looked at in the same transaction
   * @throws StoreError when it can't; the caller tries again. `STORE_TAKEN` when the condition is not met
   */
  commit(operations: readonly StoreOperation[], condition?: Condition): Promise<void>;
  /** What was committed stays. Nothing can be committed any more. */
  close(): Promise<void>;
}

export type StoreErrorCode =
  /** There is no room. */
  | 'STORE_FULL'
  /** Written by a newer version of the client, which another tab may run. */
  | 'STORE_VERSION'
  /** What is stored can't be read, or is gone. Nothing of it is overwritten. */
  | 'STORE_DAMAGED'
  /** Another tab or process has it, or there is no right to it, or it is closed. */
  | 'STORE_UNAVAILABLE'
  /** A condition was not met: another tab has written meanwhile. */
  | 'STORE_TAKEN';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function toStoreError(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new StoreError('STORE_UNAVAILABLE', message, { cause });
}
