/**
 * Everybody who is being served, sessions and HTTP requests: so that they can be ended when their
 * credentials expire or are revoked. And until when an identity is good, whoever holds it.
 */

import { SyncError } from '../errors/sync-error.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { type IdentityPredicate, IdentityPredicates } from './identity-predicates.ts';

/** How late an expiry may be noticed where nothing happens; whoever asks is refused at once. */
const SWEEP_MS = 250;

export interface Client {
  /** Who it is at the moment. */
  readonly identity: ClientIdentity;
  /** Looks again whether its credentials are good, and ends it if not; for who stays for long. Must not reject. */
  recheck?(): Promise<void>;
  /** Ends it from this side. Must not throw. */
  end(reason: SyncError): void;
}

export class Clients {
  readonly #now: () => number;
  readonly #clients = new Set<Client>();
  readonly #revocations = new IdentityPredicates();
  /** The moment, of `#revocations`, up to which an identity is known to be good. */
  readonly #goodUntil = new WeakMap<ClientIdentity, number>();
  /** Those whose credentials were looked at again, and are no good. */
  readonly #refused = new WeakSet<ClientIdentity>();
  #sweep: NodeJS.Timeout | undefined;

  /** @param now wall time in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  *[Symbol.iterator](): Generator<Client> {
    yield* this.#clients;
  }

  add(client: Client): void {
    this.#clients.add(client);
    if (this.#sweep === undefined) {
      this.#sweep = setInterval(() => this.#endExpired(), SWEEP_MS);
      this.#sweep.unref();
    }
  }

  delete(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** To be asked before somebody is asked who a client is: for `noteIdentified`. */
  get moment(): number {
    return this.#revocations.now;
  }

  /** @param since the moment at which its credentials were still to be looked at */
  noteIdentified(identity: ClientIdentity, since: number): void {
    this.#goodUntil.set(identity, since);
  }

  /** Nothing is done for it any more, nor is what it has under way. */
  noteRefused(identity: ClientIdentity): void {
    this.#refused.add(identity);
  }

  /**
   * Asked before anything is done for it, and again right before what it sent is stored.
   * @throws SyncError AUTH_EXPIRED
   */
  refuseExpired(identity: ClientIdentity): void {
    const { expiresAt } = identity;
    if (expiresAt !== undefined && expiresAt <= this.#now()) {
      throw new SyncError('AUTH_EXPIRED', 'the credentials have expired');
    }
    if (this.#refused.has(identity)) throw noLongerGood();
    const { now } = this.#revocations;
    const since = this.#goodUntil.get(identity) ?? now;
    if (since === now) return;
    if (this.#revocations.names(identity, since)) throw revoked();
    this.#goodUntil.set(identity, now);
  }

  #endExpired(): void {
    for (const client of this.#clients) {
      try {
        this.refuseExpired(client.identity);
      } catch (error) {
        if (error instanceof SyncError) this.#end(client, error);
      }
    }
  }

  /** @returns how many there were; throws what `predicate` throws, and then has ended nobody */
  revoke(predicate: IdentityPredicate): number {
    const named = [...this.#clients].filter(({ identity }) => predicate(identity));
    // Whoever is about to be let in, or has a batch under way, is caught when it goes on.
    this.#revocations.add(predicate);
    for (const client of named) this.#end(client, revoked());
    return named.length;
  }

  #end(client: Client, reason: SyncError): void {
    this.#clients.delete(client);
    client.end(reason);
  }
}

export function noLongerGood(): SyncError {
  return new SyncError('AUTH_EXPIRED', 'the credentials are no good any more');
}

function revoked(): SyncError {
  return new SyncError('AUTH_EXPIRED', 'the credentials were revoked');
}
