/** Turns errors of LevelDB into errors for the operator or for clients. */

import { codeOf, SyncError } from '../../errors/sync-error.ts';
import { storeClosed } from '../write-queue.ts';

/** @param fault goes only to the log: clients must not learn about files */
export function damaged(name: string, fault: unknown): SyncError {
  const cause = new Error(
    `${fault instanceof Error ? fault.message : fault}. Restore a backup of this database, or move ` +
      'its directory away; `sync-coordinator verify` checks the others',
    { cause: fault },
  );
  return new SyncError('STORE_DAMAGED', `the store of database ${name} is damaged`, { cause });
}

/** abstract-level wraps the error in "Database failed to open". */
export function openError(name: string, error: unknown): SyncError {
  if (error instanceof SyncError) return error;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = codeOf(cause);
  if (code === 'LEVEL_CORRUPTION') return damaged(name.replace('database ', ''), cause);
  return code === 'LEVEL_LOCKED'
    ? lockedStore(name, cause)
    : new SyncError('STORE_UNAVAILABLE', `the store of ${name} cannot be opened`, { cause });
}

export function lockedStore(name: string, cause?: unknown): SyncError {
  return new SyncError('STORE_LOCKED', `the store of ${name} is in use by another process`, {
    cause,
  });
}

/** Of a database whose directory alone is another one now. */
export function movedStore(): SyncError {
  const what = 'the store of this database was moved or deleted while it was open';
  return new SyncError('STORE_LOCKED', what);
}

export function readError(cause: unknown): SyncError {
  const code = codeOf(cause);
  if (code === 'LEVEL_CORRUPTION') {
    return new SyncError('STORE_DAMAGED', 'the store of this database is damaged', { cause });
  }
  return code?.endsWith('_NOT_OPEN')
    ? storeClosed(cause)
    : new SyncError('STORE_UNAVAILABLE', 'the store of this database cannot be read', { cause });
}
