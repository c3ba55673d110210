/**
 * The credentials of a connection's client: what the client has shown, the identity that the hook
 * modules gave it, and when they have to be asked again. Newer credentials, and newer modules, make
 * a newer identity.
 */

import { type SiteId, textToSiteId } from '../clock/site-id.ts';
import { toSyncError } from '../errors/sync-error.ts';
import type { AuthRequest } from '../hooks/chain/chain.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { Reader } from '../service/access/rights.ts';
import { holderOf } from '../service/budgets/budget.ts';
import { assertDatabaseId } from '../storage/database-id.ts';
import type { Connection } from './connection.ts';

type Handshake = Extract<ClientMessage, { type: 'handshake' }>;

export const DEFAULT_DATABASE_ID = 'default';

export class Credentials implements Required<Reader> {
  readonly #connection: Connection;
  #identity: ClientIdentity | undefined;
  /** Of this identity, once it was asked for. */
  #holder: string | undefined;
  /** The newest token that was accepted. */
  #token: string | undefined;
  #isInUse = false;
  /** Settles when the recheck under way is done. */
  #rechecked: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Whose share the client is counted in: its address' until its credentials have been accepted. */
  get holder(): string {
    this.#holder ??= holderOf(this.#identity ?? {}, this.#connection.remoteAddress);
    return this.#holder;
  }

  /** @throws TypeError until the credentials have been accepted */
  who(): ClientIdentity {
    if (this.#identity === undefined) throw new TypeError('it is not known yet who this is');
    return this.#identity;
  }

  /** @throws SyncError unless the hook modules accept the credentials of a handshake */
  async accept(
    { siteId, token, databaseId = DEFAULT_DATABASE_ID }: Handshake,
    requestId: string,
  ): Promise<void> {
    const { service, signal } = this.#connection;
    assertDatabaseId(databaseId);
    const request = { ...this.#toRequest(textToSiteId(siteId), databaseId, token), requestId };
    this.#become(await service.admission.authenticate(request, signal));
    this.#token = token;
  }

  /** A session uses the credentials from now on, and is told of every recheck. */
  use(): void {
    this.#isInUse = true;
  }

  /**
   * Takes newer credentials. If the hooks refuse them, the error ends the session. If the hooks
   * cannot decide, the session goes on as it was.
   */
  async renew(token: string | undefined, requestId: string): Promise<ClientIdentity> {
    const { service, signal } = this.#connection;
    const request = { ...this.#ownRequest(token), requestId };
    this.#renewed(await service.admission.renew(this.who(), request, signal));
    this.#token = token;
    // A reload meanwhile: the modules that accepted the token have been replaced.
    if (!service.clients.isCurrent(this.who())) await this.recheck();
    return this.who();
  }

  /**
   * Rechecks the credentials of a session. What the client sends, and what is sent to it, waits for
   * that.
   */
  recheck(): Promise<void> {
    if (!this.#isInUse) return Promise.resolve();
    this.#rechecked ??= this.#recheck();
    return this.#rechecked;
  }

  async #recheck(): Promise<void> {
    try {
      this.#renewed(await this.#askAgain());
    } catch (error) {
      this.#connection.end(toSyncError(error));
    }
    this.#rechecked = undefined;
    await this.#connection.reconsider();
  }

  /** Resolves once the present hook modules have accepted the client. See `Reader`. */
  async demandCurrent(): Promise<void> {
    const { service } = this.#connection;
    while (!service.clients.isCurrent(this.who())) {
      const { ended } = this.#connection;
      if (ended !== undefined) throw ended;
      if (this.#isInUse) await this.recheck();
      else this.#become(await this.#askAgain());
    }
  }

  #askAgain(): Promise<ClientIdentity> {
    const { service, signal } = this.#connection;
    return service.admission.recheck(this.who(), this.#ownRequest(this.#token), signal);
  }

  /** For the client that is known by now. */
  #ownRequest(token: string | undefined): AuthRequest {
    const { siteId, databaseId = DEFAULT_DATABASE_ID } = this.who();
    return this.#toRequest(siteId, databaseId, token);
  }

  #toRequest(siteId: SiteId, databaseId: string, token: string | undefined): AuthRequest {
    const { headers, remoteAddress, connectionId } = this.#connection;
    const transport = 'websocket';
    return { token, siteId, databaseId, transport, headers, remoteAddress, connectionId };
  }

  #become(identity: ClientIdentity): void {
    this.#identity = identity;
    this.#holder = undefined;
  }

  #renewed(identity: ClientIdentity): void {
    this.#become(identity);
    this.#connection.renewed(identity);
  }
}
