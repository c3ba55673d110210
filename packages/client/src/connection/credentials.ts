/**
 * The token that the server is shown, and its renewal on the open connection before it expires. That
 * no newer one is to be had counts as being offline: the server says when it is too late.
 */

import type { Environment } from '../environment.ts';
import { type Attempt, toError } from './attempt.ts';
import { retryAfterOf, ServerError } from './server-error.ts';

export type Token = string | (() => string | undefined | Promise<string | undefined>);

/** This long before the credentials expire newer ones are asked for. */
const RENEW_AHEAD_MS = 30_000;
/** After so long another try is made when no newer token was to be had. */
const RENEW_AGAIN_MS = 5_000;

export interface CredentialsPort {
  /** It is time for a newer token: `renew` is to be called. */
  expiring(): void;
  /** `renew` has led to nothing, and will be tried again. */
  notRenewed(error: Error): void;
}

export class Credentials {
  token: Token | undefined;
  readonly #environment: Environment;
  readonly #answerMs: number;
  readonly #port: CredentialsPort;
  #shown: Token | undefined;
  /** The request by which they are renewed, while that is under way. */
  renewal: string | undefined;
  #cancelRenewal: (() => void) | undefined;
  /** The server's time less the device's, in milliseconds, where it has told its own. */
  #serverOffsetMs = 0;

  constructor(
    token: Token | undefined,
    environment: Environment,
    answerMs: number,
    port: CredentialsPort,
  ) {
    this.token = token;
    this.#environment = environment;
    this.#answerMs = answerMs;
    this.#port = port;
  }

  /** Another one was set since the server was shown one. */
  get isNewer(): boolean {
    return this.#shown !== this.token;
  }

  /** Whether this error says that another token is needed, and none can be had. */
  isFinal(error: Error): boolean {
    return isExpiry(error) && typeof this.token !== 'function';
  }

  /** For a handshake: what was under way before does not count any more. */
  async ask(): Promise<string | undefined> {
    this.renewal = undefined;
    return this.#ask();
  }

  async #ask(): Promise<string | undefined> {
    const { token } = this;
    this.#shown = token;
    return typeof token === 'function' ? token() : token;
  }

  hear(serverTimeMs: number): void {
    this.#serverOffsetMs = serverTimeMs - this.#environment.now();
  }

  /** The server has taken them. @param expiresAt by its clock, in milliseconds since 1970 */
  taken(attempt: Attempt, expiresAt: number | undefined): void {
    this.renewal = undefined;
    if (expiresAt === undefined || typeof this.token !== 'function') return;
    const leftMs = expiresAt - this.#environment.now() - this.#serverOffsetMs;
    this.#expireIn(attempt, Math.max(leftMs - RENEW_AHEAD_MS, leftMs / 2, RENEW_AGAIN_MS));
  }

  #expireIn(attempt: Attempt, ms: number): void {
    this.#cancelRenewal?.();
    this.#cancelRenewal = attempt.after(ms, () => {
      if (this.renewal === undefined) this.#port.expiring();
    });
  }

  async renew(attempt: Attempt, requestId: string): Promise<void> {
    this.renewal = requestId;
    const failed = (error: Error) => this.failed(attempt, requestId, error);
    attempt.after(this.#answerMs, () => failed(new Error('no newer token came in time')));
    try {
      const token = await this.#ask();
      if (attempt.isOver || this.renewal !== requestId) return;
      if (token === undefined) throw new Error('there is no token');
      attempt.send({ type: 'authenticate', token, requestId });
    } catch (cause) {
      failed(toError(cause));
    }
  }

  failed(attempt: Attempt, requestId: string, error: Error): void {
    if (attempt.isOver || this.renewal !== requestId) return;
    this.renewal = undefined;
    this.#expireIn(attempt, Math.max(retryAfterOf(error), RENEW_AGAIN_MS));
    this.#port.notRenewed(error);
  }
}

export function isExpiry(error: Error | undefined): boolean {
  return error instanceof ServerError && error.code === 'AUTH_EXPIRED';
}
