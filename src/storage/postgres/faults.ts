/** Turns errors of PostgreSQL and of the network into errors for the operator or for clients. */

import { SyncError } from '../../errors/sync-error.ts';

const RETRY_MS = 1000;

/**
 * Errors after which the whole transaction is tried again: serialization failure, deadlock, lock
 * timeout.
 */
const RETRYABLE = new Set(['40001', '40P01', '55P03']);

/** A SQLSTATE, or the name of an error of the operating system. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** Whether PostgreSQL refused the statement, and the connection is sound. */
export function isRefusal(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !isConnectionLost(error);
}

/**
 * Whether the connection is lost, or PostgreSQL is about to close it: socket errors have no
 * SQLSTATE; class 08, and 57P (shut down, crashed, terminated, idle too long), announce the end.
 */
export function isConnectionLost(error: unknown): boolean {
  const code = codeOf(error);
  return code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P|25P03|25006)/.test(code);
}

export function isWorthRetrying(error: unknown): boolean {
  return isConnectionLost(error) || RETRYABLE.has(codeOf(error) ?? '');
}

/**
 * An error for clients, which must not learn about PostgreSQL; the cause goes to the log. That a
 * host must not be used is only a cause as well: another host may take its place in a moment.
 */
export function unavailable(cause: unknown): SyncError {
  if (cause instanceof SyncError && !isOfHost(cause)) return cause;
  return new SyncError(
    'STORE_UNAVAILABLE',
    'the store of this database cannot be reached at the moment; try again',
    { cause, retryAfterMs: RETRY_MS },
  );
}

function isOfHost({ code, retryAfterMs }: SyncError): boolean {
  return code === 'STORE_UNAVAILABLE' && retryAfterMs === undefined;
}

const NO_ANSWER = 'it does not answer: correct host and port, or open the firewall';

const STARTUP: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: start PostgreSQL, or correct host and port',
  ENOTFOUND: 'the host is not known: correct it',
  EAI_AGAIN: 'the host cannot be looked up at the moment: correct it, or mend the name service',
  ETIMEDOUT: NO_ANSWER,
  ECONNRESET: 'it closed the connection: is that PostgreSQL?',
  '28P01': 'it refuses the user or password: correct them',
  '3D000': 'it has no such database: create it, or correct the name',
  '42501': 'this user lacks rights: grant CREATE on the database, or all on the schema to it',
  '53300': 'it has no connection left: raise max_connections, or run fewer coordinators',
  '57P03': 'it is starting up or shutting down: try again',
};

/**
 * An error for health checks, which are public: it has only texts from the table above, since
 * messages of PostgreSQL name users and hosts. The cause goes to the log.
 */
export function healthError(error: unknown): SyncError {
  if (error instanceof SyncError) return error;
  const code = codeOf(error) ?? '';
  const isTimeout = error instanceof Error && /timeout/i.test(error.message);
  const what = STARTUP[code] ?? (isTimeout ? NO_ANSWER : 'the log says why');
  return new SyncError('STORE_UNAVAILABLE', `PostgreSQL cannot be used: ${what}`, {
    cause: error,
    retryAfterMs: RETRY_MS,
  });
}

/** The error of a failed start, in one line for the operator. */
export function startupError(where: string, error: unknown): SyncError {
  if (error instanceof SyncError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const what = STARTUP[codeOf(error) ?? ''] ?? startupAdvice(codeOf(error), message);
  return new SyncError('STORE_UNAVAILABLE', `storage.url names ${where}: ${what}`, {
    cause: error,
  });
}

function startupAdvice(code: string | undefined, message: string): string {
  if (/unsupported startup parameter/i.test(message)) {
    return (
      `the pooler there refuses our settings (${message}): set pool_mode = session and ` +
      'ignore_startup_parameters = options,statement_timeout,idle_in_transaction_session_timeout (PgBouncer)'
    );
  }
  if (/pooling mode/i.test(message)) {
    return `the pooler there keeps no sessions (${message}): set pool_mode = session (PgBouncer)`;
  }
  if (/does not support SSL/i.test(message)) {
    return 'it speaks no TLS, and sslmode asks for it: set sslmode=disable, or switch TLS on there';
  }
  if (code === '28000') {
    return /no encryption/i.test(message)
      ? 'it demands TLS: add ?sslmode=require to the URL'
      : 'its pg_hba.conf does not let this user in from here: add a line for it';
  }
  if (/password must be a string/i.test(message))
    return 'it asks for a password: add one to the URL';
  if (/timeout/i.test(message)) return NO_ANSWER;
  if (/certificate/i.test(message)) {
    return `its certificate is not trusted (${message}): set sslrootcert to that of its authority`;
  }
  // A message of PostgreSQL, which has no password.
  return `it cannot be used: ${message}`;
}
