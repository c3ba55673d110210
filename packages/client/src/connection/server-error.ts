/** What the server refuses, as an error. */

import { WS_CLOSE } from '../../../../src/protocol/close-codes.ts';

export class ServerError extends Error {
  override readonly name = 'ServerError';
  /** One of `ERROR_CODES`, or one that a later server has. */
  readonly code: string;
  /** Another try like this one is useless. */
  readonly isFatal: boolean;
  readonly retryAfterMs: number | undefined;
  /** The server's wall clock, in milliseconds since 1970, where it matters. */
  readonly serverTimeMs: number | undefined;

  constructor(message: {
    code: string;
    message: string;
    fatal?: boolean;
    retryAfterMs?: number;
    serverTimeMs?: number;
  }) {
    super(message.message);
    this.code = message.code;
    this.isFatal = message.fatal ?? false;
    this.retryAfterMs = message.retryAfterMs;
    this.serverTimeMs = message.serverTimeMs;
  }
}

export function isTooBig(closeCode: number): boolean {
  return closeCode === WS_CLOSE.tooBig;
}

/** How long the server asks to be left alone, in milliseconds. */
export function retryAfterOf(error: Error | undefined): number {
  return (error instanceof ServerError && error.retryAfterMs) || 0;
}
