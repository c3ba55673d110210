/**
 * Predicates about clients (for instance "those of this user") that hold for all identities known
 * before the predicate was added. They are kept, so that they also reach a client whose login was
 * under way at that moment.
 */

import type { ClientIdentity } from '../../hooks/types.ts';

export type IdentityPredicate = (identity: ClientIdentity) => boolean;

/** Beyond this many the oldest is dropped, and counts as true for all identities from before it. */
const PREDICATES_MAX = 1000;

export class IdentityPredicates {
  /** The newest is last. */
  #predicates: IdentityPredicate[] = [];
  /** How many have been added in all. The count serves as a moment. */
  #said = 0;

  /** The present moment. */
  get now(): number {
    return this.#said;
  }

  add(predicate: IdentityPredicate): void {
    this.#said++;
    this.#predicates.push(predicate);
    if (this.#predicates.length > PREDICATES_MAX) this.#predicates.shift();
  }

  /**
   * Whether a predicate that was added after `since` names the identity. A predicate that throws,
   * or was dropped, counts as true.
   */
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
