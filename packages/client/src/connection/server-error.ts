/** What the server refuses, as an error. */

export class ServerError extends Error {
  override readonly name = 'ServerError';
  /** One of `ERROR_CODES`, or one that a later server has. */
  readonly code: string;
  /** Another try like this one is useless. */
  readonly isFatal: boolean;
  readonly retryAfterMs: number | undefined;
  /** The server's wall clock, in milliseconds since 1970, where it matters. */
  readonly serverTimeMs: number | undefined;

  constructor({
    code,
    message,
    fatal = false,
    retryAfterMs,
    serverTimeMs,
  }: {
    code: string;
    message: string;
    fatal?: boolean;
    retryAfterMs?: number;
    serverTimeMs?: number;
  }) {
    super(message);
    this.code = code;
    this.isFatal = fatal;
    this.retryAfterMs = retryAfterMs;
    this.serverTimeMs = serverTimeMs;
  }
}

/** How long the server asks to be left alone, in milliseconds. */
export function retryAfterOf(error: Error | undefined): number {
  return (error instanceof ServerError && error.retryAfterMs) || 0;
}
