/**
 * The table of error codes, which client and server share. Each transport maps every code to its
 * own outcome with a total `Record<ErrorCode, …>`, so a new code without a status and a close code
 * does not compile. Codes are part of the published contract: they are added, never renamed.
 */

/** The meaning of each code for the client; `docs/errors.md` is made from this table. */
export const ERROR_CODES = {
  AUTH_FAILED: 'The credentials were refused. Another try with the same ones is useless.',
  AUTH_EXPIRED: 'The credentials have expired, or were revoked: come back with newer ones.',
  NOT_AUTHENTICATED:
    'A sync operation came before the handshake (WebSocket) or without a valid X-Site-Id (HTTP).',
  NOT_AUTHORIZED: 'This identity may not do this operation on this database.',
  ALREADY_AUTHENTICATED: 'A second handshake came on one socket.',
  PROTOCOL_VERSION_MISMATCH: 'The client speaks another protocol version than 1.',
  INVALID_DATABASE_ID: 'A database id is 1 to 128 characters of A-Z a-z 0-9 _ : . -',
  UNKNOWN_MESSAGE: 'The message type is not one that a client sends.',
  MESSAGE_ERROR: 'The input is not JSON or not of the right shape; the message says where.',
  UNSUPPORTED_ENCODING:
    'The Content-Encoding of the body is none that the server understands; Accept-Encoding says which are.',
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

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}
