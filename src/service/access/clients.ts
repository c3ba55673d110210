/**
 * The clients that are being served, sessions and HTTP requests, so that each is ended when its
 * credentials expire or are revoked.
 */

import { SyncError } from '../../errors/sync-error.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import { type IdentityPredicate, IdentityPredicates } from './identity-predicates.ts';

/**
 * How late an idle client's expiry may be noticed. A request of an expired client is refused at
 * once.
 */
const SWEEP_MS = 250;

export interface Client {
  /** Its present identity. */
  readonly identity: ClientIdentity;
  /** Rechecks the credentials, and ends the client if they are no longer good. Must not reject. */
  recheck?(): Promise<void>;
  /** Ends the client. Must not throw. */
  end(reason: SyncError): void;
}

export class Clients {
  readonly #now: () => number;
  readonly #clients = new Set<Client>();
  readonly #revocations = new IdentityPredicates();
  /** The moment, of `#revocations`, up to which an identity is known not to be revoked. */
  readonly #goodUntil = new WeakMap<ClientIdentity, number>();
  /** Identities that a recheck has refused. */
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

  /** To be read before a hook is asked about credentials, and passed to `noteIdentified`. */
  get moment(): number {
    return this.#revocations.now;
  }

  /** @param since the `moment` from before the credentials were checked */
  noteIdentified(identity: ClientIdentity, since: number): void {
    this.#goodUntil.set(identity, since);
  }

  /** Refuses all requests of this identity from now on, and its batches under way. */
  noteRefused(identity: ClientIdentity): void {
    this.#refused.add(identity);
  }

  /**
   * Called before a request is served, and again right before its batch is stored.
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

  /**
   * @returns the number of clients ended. If `predicate` throws, no client is ended and the error
   *   is passed on.
   */
  revoke(predicate: IdentityPredicate): number {
    const named = [...this.#clients].filter(({ identity }) => predicate(identity));
    // Clients in the middle of a login or a batch are refused at their next `refuseExpired`.
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
