/**
 * One writer at a time: runs tasks in order, each once the one before has succeeded or failed.
 */

import { SyncError } from '../errors/sync-error.ts';

export interface WriteQueue {
  readonly closed: boolean;
  run<T>(task: () => Promise<T>): Promise<T>;
  /** Refuses later tasks, waits for earlier ones, then runs `finish`, once. */
  close(finish: () => Promise<void>): Promise<void>;
}

export function createWriteQueue(): WriteQueue {
  let last: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> | undefined;
  return {
    get closed() {
      return closing !== undefined;
    },
    run(task) {
      if (closing !== undefined) return Promise.reject(storeClosed());
      const result = last.then(task);
      // Without the result, which would stay in memory until the next task, however large it is.
      last = result.then(
        () => undefined,
        () => undefined,
      );
      return result;
    },
    close(finish) {
      closing ??= last.then(finish);
      return closing;
    },
  };
}

export function storeClosed(cause?: unknown): SyncError {
  return new SyncError('STORE_UNAVAILABLE', 'the store of this database is closed', { cause });
}
