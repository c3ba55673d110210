/**
 * The clients that are being served, sessions and HTTP requests, so that each is ended when its
 * credentials expire or are revoked; and which identities are still good, by the hook modules that
 * are in force.
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

/** When hooks were asked about credentials. */
export interface Moment {
  /** Of the revocations. */
  readonly revocations: number;
  /** Of the hook modules. */
  readonly generation: number;
}

export class Clients {
  readonly #now: () => number;
  readonly #clients = new Set<Client>();
  readonly #revocations = new IdentityPredicates();
  /** The moment, of `#revocations`, up to which an identity is known not to be revoked. */
  readonly #goodUntil = new WeakMap<ClientIdentity, number>();
  /** Identities that a recheck has refused. */
  readonly #refused = new WeakSet<ClientIdentity>();
  #generation = 0;
  /** The hook modules that accepted an identity. */
  readonly #acceptedBy = new WeakMap<ClientIdentity, number>();
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

  /** Counts how often the hook modules have been replaced. */
  get generation(): number {
    return this.#generation;
  }

  /** The hook modules have been replaced, so all identities have to be checked again. */
  hooksChanged(): void {
    this.#generation++;
  }

  /**
   * Whether the present hook modules have accepted this identity. True for identities that come
   * from no module.
   */
  isCurrent(identity: ClientIdentity): boolean {
    const acceptedBy = this.#acceptedBy.get(identity);
    return acceptedBy === undefined || acceptedBy === this.#generation;
  }

  /** To be read before a hook is asked about credentials, and passed to `noteAccepted`. */
  get moment(): Moment {
    return { revocations: this.#revocations.now, generation: this.#generation };
  }

  /** Hooks have accepted the credentials. @throws SyncError AUTH_EXPIRED, as `refuseExpired` */
  noteAccepted(identity: ClientIdentity, { revocations, generation }: Moment): void {
    this.#acceptedBy.set(identity, generation);
    // A revocation during the hook call must count as well.
    this.#goodUntil.set(identity, revocations);
    this.refuseExpired(identity);
  }

  /** The present hook modules could not decide: what others accepted holds. */
  noteUndecided(identity: ClientIdentity): void {
    this.#acceptedBy.set(identity, this.#generation);
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
