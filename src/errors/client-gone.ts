/** Tells work that is given up since its client has gone from work that has failed. */

import { isError } from './error-text.ts';

/** Why the signal of a client that has gone is aborted. An `AbortError`, as of any signal. */
export class ClientGone extends DOMException {
  constructor() {
    super('the client has gone', 'AbortError');
  }
}

/** A chain of causes may be a circle. */
const CAUSES_MAX = 10;

/**
 * Whether something ended only since the client has gone. That is no failure of the server: nobody
 * is there to be told, and there is nothing to be mended.
 */
export function isClientGone(thrown: unknown): boolean {
  let error = thrown;
  try {
    for (let i = 0; i < CAUSES_MAX && isError(error); i++) {
      if (error instanceof ClientGone) return true;
      error = error.cause;
    }
  } catch {
    // What a hook throws may throw by itself when it is looked at.
  }
  return false;
}
