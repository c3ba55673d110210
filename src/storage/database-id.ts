/** Checks database ids, which come from URLs and messages of clients. */

import { SyncError } from '../errors/sync-error.ts';

const DATABASE_ID = /^[A-Za-z0-9_:.-]{1,128}$/;

/** 1 to 128 characters of `A-Z a-z 0-9 _ : . -`. `.` and `..` are ids like any other. */
export function isDatabaseId(value: unknown): value is string {
  return typeof value === 'string' && DATABASE_ID.test(value);
}

/** @throws SyncError INVALID_DATABASE_ID */
export function assertDatabaseId(value: unknown): asserts value is string {
  if (!isDatabaseId(value)) {
    throw new SyncError(
      'INVALID_DATABASE_ID',
      'a database id is 1 to 128 characters of A-Z a-z 0-9 _ : . -',
    );
  }
}
