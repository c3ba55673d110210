/** Says who a client is, at first and again when it brings newer credentials. */

import { siteIdToText } from '../clock/site-id.ts';
import { type ErrorCode, SyncError, toSyncError } from '../errors.ts';
import type { AuthRequest, HookChain } from '../hooks/chain.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { createLogger } from '../logger.ts';
import type { Clients } from './clients.ts';
import type { Metrics } from './metrics.ts';

/** Refusals that are about the credentials, not about whether anybody could look at them. */
const NO_GOOD: ReadonlySet<ErrorCode> = new Set([
  'AUTH_FAILED',
  'AUTH_EXPIRED',
  'NOT_AUTHENTICATED',
  'NOT_AUTHORIZED',
]);

const logger = createLogger('sync-coordinator:auth');

export class Authenticator {
  readonly #hooks: HookChain;
  readonly #metrics: Metrics;
  readonly #clients: Clients;

  constructor(hooks: HookChain, metrics: Metrics, clients: Clients) {
    this.#hooks = hooks;
    this.#metrics = metrics;
    this.#clients = clients;
  }

  /**
   * Without an `onAuthenticate` everybody may come: `auth.mode: none`.
   * @throws SyncError AUTH_FAILED, AUTH_EXPIRED, or what a hook refused with
   */
  async authenticate(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    const { transport, databaseId, siteId } = request;
    const site = siteId === undefined ? 'unknown' : siteIdToText(siteId);
    this.#metrics.authAttempts.inc({ transport });
    try {
      const identity = await this.#identify(request, signal);
      this.#clients.refuseExpired(identity);
      const who = identity.userId ?? 'nobody in particular';
      logger('%s: site %s may enter database %s, as %s', transport, site, databaseId, who);
      return identity;
    } catch (error) {
      this.#metrics.authFailures.inc({ transport });
      const { code } = toSyncError(error);
      logger('%s: site %s may not enter database %s: %s', transport, site, databaseId, code);
      throw error;
    }
  }

  /**
   * Newer credentials of a client that is known.
   * @throws SyncError as `authenticate`; AUTH_FAILED for the credentials of another user
   */
  async renew(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    const identity = await this.authenticate(request, signal);
    this.#demandSameUser(known, identity);
    return identity;
  }

  /**
   * Whether credentials that were accepted still are, since the hooks are others by now.
   * @returns the identity from now on: as it was, if nobody can tell
   * @throws SyncError AUTH_EXPIRED
   */
  async recheck(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    try {
      const identity = await this.#identify({ ...request, known }, signal);
      this.#clients.refuseExpired(identity);
      if (identity.userId === known.userId) return identity;
    } catch (error) {
      const { code } = toSyncError(error);
      if (!NO_GOOD.has(code)) return known;
    }
    throw new SyncError('AUTH_EXPIRED', 'the credentials are no good any more');
  }

  /** Without a hook that says who somebody is, there is nobody to be taken for. */
  #demandSameUser(known: ClientIdentity, { userId }: ClientIdentity): void {
    if (!this.#hooks.has.onAuthenticate) return;
    if (userId !== known.userId) {
      throw new SyncError('AUTH_FAILED', 'the credentials are of another user');
    }
    if (userId === undefined) {
      // Not for good: as a newcomer it may be let in.
      throw new SyncError('AUTH_EXPIRED', 'the credentials name no user: reconnect with them');
    }
  }

  async #identify(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    const since = this.#clients.moment;
    const identity = await this.#ask(request, signal);
    // Whoever is revoked while a hook looks at its credentials must not come in after all.
    this.#clients.noteIdentified(identity, since);
    return identity;
  }

  async #ask(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    const { databaseId, siteId } = request;
    if (!this.#hooks.has.onAuthenticate) {
      if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is required');
      return Object.freeze({ siteId, databaseId });
    }
    const identity = await this.#hooks.authenticate(request, signal);
    if (identity === undefined) throw new SyncError('AUTH_FAILED', 'authentication failed');
    // Delivery leaves out a site's own changes, so an identity must not be of another site.
    if (siteId !== undefined && siteIdToText(identity.siteId) !== siteIdToText(siteId)) {
      throw new SyncError('AUTH_FAILED', 'the credentials are for another site id');
    }
    // One object until it is renewed, and nobody's to change: hooks may key a map by it.
    return Object.freeze({ ...identity, databaseId });
  }
}
