/**
 * Everybody who is being served, sessions and HTTP requests: so that they can be ended when their
 * credentials run out or are revoked.
 */

import { SyncError } from '../errors.ts';
import type { ClientIdentity } from '../hooks/types.ts';

/** How late an expiry may be noticed where nothing happens; whoever asks is refused at once. */
const SWEEP_MS = 250;

export interface Client {
  /** Who it is at the moment. */
  readonly identity: ClientIdentity;
  /** Ends it from this side. Must not throw. */
  end(reason: SyncError): void;
}

export class Clients {
  readonly #now: () => number;
  readonly #clients = new Set<Client>();
  #sweep: NodeJS.Timeout | undefined;

  /** @param now wall time in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
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

  /** @throws SyncError AUTH_EXPIRED */
  refuseExpired({ expiresAt }: ClientIdentity): void {
    if (expiresAt === undefined || expiresAt > this.#now()) return;
    throw new SyncError('AUTH_EXPIRED', 'the credentials have run out');
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
  revoke(predicate: (identity: ClientIdentity) => boolean): number {
    const revoked = [...this.#clients].filter(({ identity }) => predicate(identity));
    for (const client of revoked) {
      this.#end(client, new SyncError('AUTH_EXPIRED', 'the credentials were revoked'));
    }
    return revoked.length;
  }

  #end(client: Client, reason: SyncError): void {
    this.#clients.delete(client);
    client.end(reason);
  }
}
