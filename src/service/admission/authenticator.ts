/**
 * Asks the hooks who a client is: at its login, when it renews its credentials, and after a reload
 * of the modules.
 */

import { siteIdToText } from '../../clock/site-id.ts';
import { SyncError, toSyncError } from '../../errors/sync-error.ts';
import { noteOrigin } from '../../hooks/call-origin.ts';
import type { AuthRequest, HookChain } from '../../hooks/chain/chain.ts';
import { clientAddressOf, sourceOf, unnamedProxyOf } from '../../hooks/client-source.ts';
import { whileThere } from '../../hooks/on-abort.ts';
import { type HookAnswer, PASSED } from '../../hooks/refusal.ts';
import { sealIdentity } from '../../hooks/sealed-identity.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import { createLogger } from '../../logging/logger.ts';
import { newLoginCounts } from '../../metrics/counts.ts';
import type { ErrorCode } from '../../protocol/error-codes.ts';
import { type Clients, type Moment, noLongerGood } from '../access/clients.ts';
import {
  type LoginAttempt,
  type LoginThrottle,
  type LoginUnderWay,
  NO_ATTEMPT,
  toAttempt,
} from './login-throttle.ts';
import type { RefusalLog } from './refusal-log.ts';

/**
 * Codes that say that the credentials are no good. All others say that the hooks could not decide.
 */
const NO_GOOD: ReadonlySet<ErrorCode> = new Set([
  'AUTH_FAILED',
  'AUTH_EXPIRED',
  'NOT_AUTHENTICATED',
  'NOT_AUTHORIZED',
]);

const logger = createLogger('sync-coordinator:auth');

/** Codes that count as a failed login: no expiry, and no failure of a hook. */
const FAILED: ReadonlySet<ErrorCode> = new Set(['AUTH_FAILED', 'NOT_AUTHORIZED']);

export interface AuthenticatorParts {
  hooks: HookChain;
  clients: Clients;
  throttle: LoginThrottle;
  refusals: RefusalLog;
}

/** What the hooks have answered so far, also if they refuse. */
interface Asked {
  answers: HookAnswer[];
  userId?: string | undefined;
  /** `onAuthenticate` has accepted the credentials; `onAuthenticated` may still fail. */
  isAccepted?: boolean;
}

export class Authenticator {
  readonly #parts: AuthenticatorParts;
  #hasWarnedOfProxy = false;
  /** Counts of all logins. */
  readonly counts = { websocket: newLoginCounts(), http: newLoginCounts() };

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
  }

  /**
   * Without an `onAuthenticate` hook (`auth.mode: none`) every client is accepted.
   * @throws SyncError AUTH_FAILED, AUTH_EXPIRED, RATE_LIMITED after many failures, or what a hook
   *   refused with
   */
  authenticate(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    return this.#logIn(request, signal);
  }

  /**
   * Accepts newer credentials of a known client.
   * @throws SyncError as `authenticate`; AUTH_FAILED for the credentials of another user
   */
  renew(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    return this.#logIn(request, signal, known);
  }

  /** @param known the client that renews; the credentials must be of the same user */
  async #logIn(
    request: AuthRequest,
    signal: AbortSignal | undefined,
    known?: ClientIdentity,
  ): Promise<ClientIdentity> {
    this.counts[request.transport].attempts++;
    let login: LoginUnderWay;
    try {
      login = await this.#parts.throttle.begin(this.#toAttempt(request, known), signal);
    } catch (error) {
      this.#noteFailed(request, { answers: [] }, error, signal);
      throw error;
    }
    if (!login.isGuess) return this.#judge(login, request, signal, known);
    // Who hangs up has guessed all the same: the hooks are heard to the end.
    return whileThere(signal, this.#judge(login, request, undefined, known));
  }

  async #judge(
    login: LoginUnderWay,
    request: AuthRequest,
    signal: AbortSignal | undefined,
    known: ClientIdentity | undefined,
  ): Promise<ClientIdentity> {
    const { transport, databaseId } = request;
    const asked: Asked = { answers: [] };
    try {
      const identity = await this.#identify(request, signal, asked);
      if (known !== undefined) this.#demandSameUser(known, identity);
      login.succeeded(identity.userId);
      const { userId = 'nobody in particular' } = asked;
      logger('%s: %s may enter database %s, as %s', transport, siteOf(request), databaseId, userId);
      return identity;
    } catch (error) {
      if (FAILED.has(toSyncError(error).code)) login.failed();
      else login.gaveUp();
      this.#noteFailed(request, asked, error, signal);
      throw error;
    }
  }

  #toAttempt(request: AuthRequest, renewed: ClientIdentity | undefined): LoginAttempt {
    const proxy = unnamedProxyOf(request);
    if (proxy !== undefined) this.#warnOfProxy(proxy);
    // Without `onAuthenticate` no credentials can be guessed.
    const isGuessed = this.#parts.hooks.has.onAuthenticate;
    return isGuessed ? toAttempt(request, renewed) : NO_ATTEMPT;
  }

  /** Warns once, and before a limit is met, so that the operator can set `trustProxy` in time. */
  #warnOfProxy(proxy: string): void {
    if (this.#hasWarnedOfProxy) return;
    this.#hasWarnedOfProxy = true;
    const what =
      'its clients share one count of failed logins and, where they have no userId, the limits of one client: set trustProxy if it is a proxy';
    logger.warn('%s passes requests on, and is not trusted to say whose; %s', proxy, what);
  }

  #noteFailed(request: AuthRequest, asked: Asked, error: unknown, signal?: AbortSignal): void {
    this.counts[request.transport].failures.inc(toSyncError(error).code);
    // A client that has disconnected was not refused.
    if (!signal?.aborted) this.#noteRefused(request, asked, error);
  }

  #noteRefused(request: AuthRequest, { answers, userId }: Asked, error: unknown): void {
    const { transport, databaseId, remoteAddress: address } = request;
    const { code, message } = toSyncError(error);
    const isOfHook = answers.some(({ answer }) => answer !== PASSED) && userId === undefined;
    this.#parts.refusals.add(sourceOf(request), {
      ...{ what: `${transport} login`, code, userId, site: siteOf(request), databaseId, address },
      ...{ reason: isOfHook ? undefined : message, answers },
    });
  }

  /**
   * Asks the present hook modules whether accepted credentials are still good.
   * @returns the identity from now on; `known` itself if the modules cannot decide
   * @throws SyncError AUTH_EXPIRED, or the failure of `onAuthenticated`
   */
  async recheck(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    const asked: Asked = { answers: [] };
    let refusal = new SyncError('AUTH_EXPIRED', 'the credentials are of another user');
    try {
      const identity = await this.#identify({ ...request, known }, signal, asked);
      if (identity.userId === known.userId) return identity;
    } catch (error) {
      refusal = toSyncError(error);
      // `onAuthenticated` failed: without what it adds, the identity may be allowed too much.
      if (!NO_GOOD.has(refusal.code) && asked.isAccepted) {
        this.#parts.clients.noteRefused(known);
        throw refusal;
      }
      if (!NO_GOOD.has(refusal.code)) {
        this.#parts.clients.noteUndecided(known);
        return known;
      }
    }
    this.#noteRefused(request, asked, refusal);
    this.#parts.clients.noteRefused(known);
    throw noLongerGood();
  }

  /** Without `onAuthenticate` there are no users to confuse. */
  #demandSameUser(known: ClientIdentity, { userId }: ClientIdentity): void {
    if (!this.#parts.hooks.has.onAuthenticate) return;
    if (userId !== known.userId) {
      throw new SyncError('AUTH_FAILED', 'the credentials are of another user');
    }
    if (userId === undefined) {
      // Not AUTH_FAILED: a new login with these credentials may succeed.
      throw new SyncError('AUTH_EXPIRED', 'the credentials name no user: reconnect with them');
    }
  }

  async #identify(
    request: AuthRequest,
    signal: AbortSignal | undefined,
    asked: Asked,
  ): Promise<ClientIdentity> {
    const { clients } = this.#parts;
    let since: Moment;
    let identity: ClientIdentity;
    do {
      since = clients.moment;
      asked.answers.length = 0;
      asked.isAccepted = false;
      identity = await this.#ask(request, signal, asked);
      // Ask again if a reload has replaced the modules meanwhile.
    } while (since.generation !== clients.generation);
    noteOrigin(identity, request);
    clients.noteAccepted(identity, since);
    return identity;
  }

  async #ask(
    request: AuthRequest,
    signal: AbortSignal | undefined,
    asked: Asked,
  ): Promise<ClientIdentity> {
    const hooks = this.#parts.hooks.retain();
    try {
      const accepted = await this.#accept(hooks, request, signal, asked);
      asked.isAccepted = true;
      asked.userId = accepted.userId;
      if (!hooks.has.onAuthenticated) return accepted;
      return await hooks.authenticated(accepted, request, signal, asked.answers);
    } finally {
      hooks.release();
    }
  }

  async #accept(
    hooks: HookChain,
    request: AuthRequest,
    signal: AbortSignal | undefined,
    { answers }: Asked,
  ): Promise<ClientIdentity> {
    const { databaseId, siteId } = request;
    const remoteAddress = clientAddressOf(request);
    const known = { databaseId, ...(remoteAddress === undefined ? {} : { remoteAddress }) };
    if (!hooks.has.onAuthenticate) {
      if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is required');
      return sealIdentity({ siteId, ...known });
    }
    const identity = await hooks.authenticate(request, signal, answers);
    if (identity === undefined) throw new SyncError('AUTH_FAILED', 'authentication failed');
    // Delivery leaves out a site's own changes, so an identity must not be of another site.
    if (siteId !== undefined && siteIdToText(identity.siteId) !== siteIdToText(siteId)) {
      throw new SyncError('AUTH_FAILED', 'the credentials are for another site id');
    }
    return sealIdentity({ ...identity, ...known });
  }
}

function siteOf({ siteId }: AuthRequest): string {
  return siteId === undefined ? 'unknown' : siteIdToText(siteId);
}
