import { ERROR_CODES, type ErrorCode } from '../../src/errors/sync-error.ts';

/** Whether a code is one that the server is known to send. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}
