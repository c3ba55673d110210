/**
 * The one table of error codes, and the one error class that carries them.
 *
 * Each transport maps every code to its own outcome with a total
 * `Record<ErrorCode, …>`, so a code that is added here without a status and a
 * close code does not compile. Codes are part of the released contract: they
 * are added, never renamed.
 */

import type { LimitName } from './limit-names.ts';

/** What each code means to the one who receives it; `docs/errors.md` is made from this table. */
export const ERROR_CODES = {
  AUTH_FAILED: 'The credentials were refused. Another try with the same ones is useless.',
  AUTH_EXPIRED: 'The credentials have run out, or were revoked: come back with newer ones.',
  NOT_AUTHENTICATED:
    'A sync operation came before the handshake (WebSocket) or without a valid X-Site-Id (HTTP).',
  NOT_AUTHORIZED: 'This identity may not do this operation on this database.',
  ALREADY_AUTHENTICATED: 'A second handshake came on one socket.',
  PROTOCOL_VERSION_MISMATCH: 'The client speaks another protocol version than 1.',
  INVALID_DATABASE_ID: 'A database id is 1 to 128 characters of A-Z a-z 0-9 _ : . -',
  UNKNOWN_MESSAGE: 'The message type is not one that a client sends.',
  MESSAGE_ERROR: 'The input is not JSON or not of the right shape; the message says where.',
  TOO_LARGE: 'The input is larger than a limit of the server; the message names the limit.',
  APPLY_CHANGES_ERROR: 'The changes could not be stored; nothing of the batch was.',
  GET_CHANGES_ERROR: 'The changes could not be read.',
  SNAPSHOT_ERROR: 'The snapshot could not be read to its end.',
  CLOCK_DRIFT:
    'A change is dated further ahead than sync.maxClockDriftMs; nothing of the batch was stored.',
  SNAPSHOT_REQUIRED:
    'The position lies behind the retention horizon, or the database was replaced after it: only a ' +
    'snapshot can tell what is gone.',
  RATE_LIMITED: 'Too many requests; try again later.',
  HOOK_FAILED: 'A hook of this server failed or took too long; the cause is in its log.',
  OVERLOADED: 'A limit of the server is reached (sessions, databases, snapshots); try again later.',
  SHUTTING_DOWN: 'The server is stopping; connect again.',
  HANDSHAKE_TIMEOUT: 'No handshake came within limits.handshakeTimeoutMs.',
  REQUEST_TIMEOUT: 'The request did not arrive whole within limits.requestTimeoutMs.',
  STORE_UNAVAILABLE: 'The store of this database cannot be used at the moment.',
  STORE_LOCKED: 'Another process holds the data directory, or copies the storage.',
  STORE_FORMAT: 'The store was written by another version of the format than this one reads.',
  STORE_DAMAGED:
    'The store of this database is damaged; it is refused until its operator has restored it.',
  NOT_FOUND: 'There is no such route.',
  INTERNAL_ERROR: 'A fault of the server; its log has the cause.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface SyncErrorOptions {
  /** What led to it. Logged, never sent. */
  cause?: unknown;
  /** For errors that pass: when to try again, in milliseconds from now. */
  retryAfterMs?: number;
  /** The option that was met, to be counted. */
  limit?: LimitName;
}

/** An expected failure with a code. Its message is written for the client that receives it. */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly limit: LimitName | undefined;

  constructor(code: ErrorCode, message: string, options: SyncErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.limit = options.limit;
  }
}

/**
 * Anything thrown, as a SyncError that is safe to send: an error without a code
 * becomes `fallback` with a message that tells nothing internal.
 */
export function toSyncError(
  error: unknown,
  fallback: ErrorCode = 'INTERNAL_ERROR',
  message = 'internal error',
): SyncError {
  return error instanceof SyncError ? error : new SyncError(fallback, message, { cause: error });
}

/** The code of an error of Node.js or of a library, if it has one. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

const INTERNAL_CODES: ReadonlySet<ErrorCode> = new Set([
  'APPLY_CHANGES_ERROR',
  'GET_CHANGES_ERROR',
  'SNAPSHOT_ERROR',
  'STORE_UNAVAILABLE',
  'STORE_LOCKED',
  'STORE_FORMAT',
  'STORE_DAMAGED',
  'INTERNAL_ERROR',
]);

/**
 * What an operator should see of an error that a client was told of. Input faults are the
 * client's, and the hook chain logs its own (a cause of theirs might hold a credential).
 */
export function internalCause({ code, cause }: SyncError): unknown {
  return INTERNAL_CODES.has(code) ? cause : undefined;
}
