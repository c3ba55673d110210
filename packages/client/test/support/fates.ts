/**
 * What becomes of a write by the code that the server answers with. A code more is a line more here:
 * without it this does not compile.
 */

import type { ErrorCode } from '../../../../src/protocol/error-codes.ts';

/** What becomes of a write, alone in its batch, that is answered so once. */
export type Fate =
  /** It is sent again, and acknowledged. */
  | 'again'
  /** As before, after newer credentials were asked for. */
  | 'with a newer token'
  /** It becomes an outcome, and what is behind it goes on. */
  | 'rejected'
  /** It gets another date and is sent again. */
  | 'dated anew'
  /** A snapshot is taken, and it is sent again after that. */
  | 'after a snapshot'
  /** It waits until somebody changes something: here, another token is set. */
  | 'kept until connect';

export const FATES: Record<ErrorCode, Fate> = {
  AUTH_FAILED: 'kept until connect',
  AUTH_EXPIRED: 'with a newer token',
  NOT_AUTHENTICATED: 'again',
  NOT_AUTHORIZED: 'rejected',
  ALREADY_AUTHENTICATED: 'kept until connect',
  PROTOCOL_VERSION_MISMATCH: 'kept until connect',
  INVALID_DATABASE_ID: 'kept until connect',
  UNKNOWN_MESSAGE: 'again',
  MESSAGE_ERROR: 'rejected',
  UNSUPPORTED_ENCODING: 'again',
  TOO_LARGE: 'rejected',
  APPLY_CHANGES_ERROR: 'again',
  GET_CHANGES_ERROR: 'again',
  SNAPSHOT_ERROR: 'again',
  CLOCK_DRIFT: 'dated anew',
  SNAPSHOT_REQUIRED: 'after a snapshot',
  RATE_LIMITED: 'again',
  HOOK_FAILED: 'again',
  OVERLOADED: 'again',
  SHUTTING_DOWN: 'again',
  HANDSHAKE_TIMEOUT: 'again',
  REQUEST_TIMEOUT: 'again',
  STORE_UNAVAILABLE: 'again',
  STORE_LOCKED: 'again',
  STORE_FORMAT: 'again',
  STORE_DAMAGED: 'again',
  NOT_FOUND: 'again',
  INTERNAL_ERROR: 'again',
};
