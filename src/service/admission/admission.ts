/**
 * Decides which clients may come and which may stay: accepts credentials, admits clients to sessions, and checks
 * both again when credentials are renewed or revoked, rights change, or the hook modules are replaced.
 */

import type { AuthRequest, HookChain } from '../../hooks/chain/chain.ts';
import type { HookAnswer } from '../../hooks/refusal.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import type { Logger } from '../../logging/logger.ts';
import type { Clients } from '../access/clients.ts';
import type { IdentityPredicate } from '../access/identity-predicates.ts';
import {
  isDenial,
  type Reader,
  type ReadRight,
  Rights,
  readerOf,
  toGetChanges,
} from '../access/rights.ts';
import type { LiveSession } from '../delivery/live-session.ts';
import { Authenticator } from './authenticator.ts';
import { LoginThrottle } from './login-throttle.ts';
import type { RefusalLog } from './refusal-log.ts';

export interface AdmissionOptions {
  hooks: HookChain;
  clients: Clients;
  /** All open sessions. */
  sessions: Iterable<LiveSession>;
  refusals: RefusalLog;
  /** `limits.failedLoginsPerMinute` */
  failedLoginsPerMinute: number;
  /** `hooks.reauthorizeMs`: how long an answer of `onAuthorize` holds. */
  reauthorizeMs: number;
  /** Wall time in milliseconds. */
  now(): number;
  logger: Logger;
}

/** How many clients are asked about at the same time. */
const ASKED_AT_ONCE = 64;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #authenticator: Authenticator;
  /** The rights of sessions and HTTP requests to read. */
  readonly rights: Rights;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    const { hooks, clients, refusals, failedLoginsPerMinute, reauthorizeMs, now } = options;
    const throttle = new LoginThrottle(failedLoginsPerMinute, now);
    this.#authenticator = new Authenticator({ hooks, clients, throttle, refusals });
    this.rights = new Rights(hooks, {
      maxAgeMs: reauthorizeMs,
      now,
      clients,
    });
  }

  get loginCounts(): Authenticator['counts'] {
    return this.#authenticator.counts;
  }

  /** @throws SyncError AUTH_FAILED, AUTH_EXPIRED, RATE_LIMITED, or what a hook refused with */
  authenticate(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity> {
    return this.#authenticator.authenticate(request, signal);
  }

  /** Accepts newer credentials of a known client. Throws as `authenticate`. */
  renew(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    return this.#authenticator.renew(known, request, signal);
  }

  /**
   * Asks the present hook modules about the credentials of a known client; again if they are replaced meanwhile.
   * @returns `known` itself, if the present modules had accepted it already
   */
  async recheck(
    known: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
  ): Promise<ClientIdentity> {
    const { clients } = this.#options;
    let identity = known;
    while (!clients.isCurrent(identity)) {
      identity = await this.#authenticator.recheck(identity, request, signal);
    }
    return identity;
  }

  /**
   * Decides whether a client may have a session. One that may not read has it to write, and is pushed nothing.
   * @returns its right to changes, for which the hooks have been asked
   * @throws SyncError NOT_AUTHORIZED when it may do nothing at all, or why the hooks cannot decide
   */
  async enter(reader: Reader, databaseId: string, signal?: AbortSignal): Promise<ReadRight> {
    const right = this.rights.of(reader, toGetChanges(databaseId));
    const { refusals } = this.#options;
    await refusals.asOne('websocket handshake', reader, async (answers) => {
      try {
        await right.confirm(signal, undefined, answers);
      } catch (error) {
        if (!isDenial(error)) throw error;
        await this.rights.demandAny(reader.who(), databaseId, signal, answers);
      }
    });
    return right;
  }

  /**
   * A session has lost its right to read: writes one line of the log, and decides whether it may stay.
   * @param answers of the hooks that refused it
   * @throws SyncError NOT_AUTHORIZED when it may do nothing else either
   */
  async readLost(
    client: ClientIdentity,
    databaseId: string,
    answers: HookAnswer[],
    signal?: AbortSignal,
  ): Promise<void> {
    const { refusals } = this.#options;
    await refusals.asOne('websocket session', readerOf(client), async (more) => {
      more.push(...answers);
      await this.rights.demandAny(client, databaseId, signal, more);
    });
    refusals.addForbidden(client, 'websocket pushes', 'NOT_AUTHORIZED', answers);
  }

  /** See `CoordinatorService.revoke`. */
  revoke(predicate: IdentityPredicate): number {
    return this.#options.clients.revoke(predicate);
  }

  /** See `CoordinatorService.reauthorize`. */
  async reauthorize(predicate: IdentityPredicate): Promise<number> {
    const named = [...this.#options.sessions].filter(({ identity }) => predicate(identity));
    this.rights.doubt(predicate);
    await forEachOf(named, (session) => session.reconsider());
    return named.length;
  }

  /** See `CoordinatorService.hooksChanged`. */
  async hooksChanged(): Promise<void> {
    const { clients, logger } = this.#options;
    clients.hooksChanged();
    this.rights.doubt(() => true);
    const all = [...clients];
    await forEachOf(all, (client) => client.recheck?.());
    logger('%d clients were asked about again', all.length);
  }
}

async function forEachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void> | undefined,
): Promise<void> {
  for (let i = 0; i < items.length; i += ASKED_AT_ONCE) {
    await Promise.all(items.slice(i, i + ASKED_AT_ONCE).map(work));
  }
}
