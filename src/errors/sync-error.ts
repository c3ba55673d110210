/**
 * The error class that carries a code of the protocol's table, and the conversion of other errors
 * to it.
 */

import type { ErrorCode } from '../protocol/error-codes.ts';
import type { LimitName } from './limit-names.ts';

export interface SyncErrorOptions {
  /** The cause. Logged, never sent. */
  cause?: unknown;
  /** For temporary errors: when to try again, in milliseconds from now. */
  retryAfterMs?: number;
  /** For CLOCK_DRIFT: the server's time by which it was decided, in milliseconds since 1970. */
  serverTimeMs?: number;
  /** The limit that was met, to be counted. */
  limit?: LimitName | undefined;
  /** The message without the place that it names, for who may not know what is there. */
  unplaced?: string;
}

/** An expected failure with a code. Its message is written for the client that receives it. */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly serverTimeMs: number | undefined;
  readonly limit: LimitName | undefined;
  readonly unplaced: string | undefined;

  constructor(code: ErrorCode, message: string, options: SyncErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.serverTimeMs = options.serverTimeMs;
    this.limit = options.limit;
    this.unplaced = options.unplaced;
  }
}

/**
 * Converts anything thrown to a SyncError that is safe to send: an error without a code becomes
 * `fallback`, with a message that has nothing internal.
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
 * The cause of an error for the operator's log. `undefined` for faults in a client's input, and for
 * errors of hooks: the hook chain logs those itself, without causes that might contain a
 * credential.
 */
export function internalCause({ code, cause }: SyncError): unknown {
  return INTERNAL_CODES.has(code) ? cause : undefined;
}
