/**
 * What was said about clients ("those of this user") and holds for whoever was known before it was
 * said. Said once, it is heeded whenever such a client is looked at again: also one that was nowhere to
 * be found at that moment, since a hook was just about to say who it is.
 */

import type { ClientIdentity } from '../hooks/types.ts';

export type IdentityPredicate = (identity: ClientIdentity) => boolean;

/** Beyond it the oldest is forgotten: it is taken to name everybody who was known before it. */
const PREDICATES_MAX = 1000;

export class IdentityPredicates {
  /** The newest last. */
  #predicates: IdentityPredicate[] = [];
  /** How many were said in all: a moment, to ask from. */
  #said = 0;

  /** The moment that it is. */
  get now(): number {
    return this.#said;
  }

  add(predicate: IdentityPredicate): void {
    this.#said++;
    this.#predicates.push(predicate);
    if (this.#predicates.length > PREDICATES_MAX) this.#predicates.shift();
  }

  /** Whether it is named by anything that was said after a moment. Who can't be judged is named. */
  names(identity: ClientIdentity, since: number): boolean {
    const count = this.#said - since;
    if (count === 0) return false;
    if (count > this.#predicates.length) return true;
    return this.#predicates.slice(-count).some((predicate) => isNamed(predicate, identity));
  }
}

function isNamed(predicate: IdentityPredicate, identity: ClientIdentity): boolean {
  try {
    return predicate(identity);
  } catch {
    return true;
  }
}
