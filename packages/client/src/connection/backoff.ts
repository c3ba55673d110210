/**
 * How long to wait before the next try: a random time up to a bound that doubles. It is random also
 * when the bound is at its greatest, so that the devices of a server that was away do not come back
 * at once.
 */

import type { Environment } from '../environment.ts';

export interface BackoffOptions {
  /** The bound of the first pause. Default: 500. */
  firstMs?: number;
  /** The greatest bound. Default: 30,000. */
  maxMs?: number;
}

export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #environment: Pick<Environment, 'random'>;
  #tries = 0;

  constructor(
    { firstMs = 500, maxMs = 30_000 }: BackoffOptions,
    environment: Pick<Environment, 'random'>,
  ) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#environment = environment;
  }

  /** @param atLeastMs what the server asked for; the random time comes on top of it */
  next(atLeastMs = 0): number {
    const bound = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#tries, 20));
    this.#tries++;
    return atLeastMs + Math.round(this.#environment.random() * bound);
  }

  reset(): void {
    this.#tries = 0;
  }
}
