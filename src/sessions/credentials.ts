/**
 * Who the client of a connection is: what it has shown, whom the hook modules took it for, and when that has to
 * be asked again. Newer credentials, and newer modules, make a newer identity.
 */

import { type SiteIdText, siteIdToText } from '../clock/site-id.ts';
import { type SyncError, toSyncError } from '../errors/sync-error.ts';
import type { AuthRequest } from '../hooks/chain.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';

export const DEFAULT_DATABASE_ID = 'default';

export interface CredentialsOptions {
  service: CoordinatorService;
  /** Of the connection: what else an `AuthRequest` says. */
  toRequest(siteId: SiteIdText, databaseId: string, token: string | undefined): AuthRequest;
  /** Aborted when it has gone. */
  signal(): AbortSignal;
  /** They are no good any more. */
  refused(reason: SyncError): void;
  /** They were looked at again, or replaced, while in use. */
  renewed(identity: ClientIdentity): void;
  /** What the client may do is to be asked again. */
  reconsider(): Promise<void>;
}

/** See `Reader` for what is asked of it. */
export class Credentials {
  readonly #options: CredentialsOptions;
  #identity: ClientIdentity | undefined;
  /** The newest that was accepted. */
  #token: string | undefined;
  /** Why the connection has ended. */
  #end: SyncError | undefined;
  #isInUse = false;
  /** Settles when they have been looked at again. */
  #rechecked: Promise<void> | undefined;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** `undefined` before they have been accepted. */
  get identity(): ClientIdentity | undefined {
    return this.#identity;
  }

  /** @throws TypeError before they have been accepted */
  who(): ClientIdentity {
    if (this.#identity === undefined) throw new TypeError('it is not known yet who this is');
    return this.#identity;
  }

  /** @throws SyncError unless the hook modules accept them */
  async accept(request: AuthRequest): Promise<ClientIdentity> {
    const { service, signal } = this.#options;
    this.#identity = await service.admission.authenticate(request, signal());
    this.#token = request.token;
    return this.#identity;
  }

  /** A session goes by them from now on: who looks at them again tells it. */
  use(): void {
    this.#isInUse = true;
  }

  /** Nothing is asked any more. */
  end(reason: SyncError): void {
    this.#end ??= reason;
  }

  /** Newer ones. If they are refused the session ends; if nobody can tell it goes on. */
  async renew(request: AuthRequest): Promise<ClientIdentity> {
    const { service, signal } = this.#options;
    this.#renewed(await service.admission.renew(this.who(), request, signal()));
    this.#token = request.token;
    // The hooks may have been replaced just then, and have been asked about the token before.
    if (!service.admission.isCurrent(this.who())) await this.recheck();
    return this.who();
  }

  /** Whether they are still good; what the client sends, and is to be sent, waits for the answer. */
  recheck(): Promise<void> {
    if (!this.#isInUse) return Promise.resolve();
    this.#rechecked ??= this.#recheck();
    return this.#rechecked;
  }

  async #recheck(): Promise<void> {
    try {
      this.#renewed(await this.#askAgain());
    } catch (error) {
      this.#options.refused(toSyncError(error));
    }
    this.#rechecked = undefined;
    await this.#options.reconsider();
  }

  /** The present hook modules have said who it is from then on. See `Reader`. */
  async demandCurrent(): Promise<void> {
    const { service } = this.#options;
    while (!service.admission.isCurrent(this.who())) {
      if (this.#end !== undefined) throw this.#end;
      if (this.#isInUse) await this.recheck();
      else this.#identity = await this.#askAgain();
    }
  }

  #askAgain(): Promise<ClientIdentity> {
    const { service, signal, toRequest } = this.#options;
    const known = this.who();
    const { databaseId = DEFAULT_DATABASE_ID } = known;
    const request = toRequest(siteIdToText(known.siteId), databaseId, this.#token);
    return service.admission.recheck(known, request, signal());
  }

  #renewed(identity: ClientIdentity): void {
    this.#identity = identity;
    this.#options.renewed(identity);
  }
}
