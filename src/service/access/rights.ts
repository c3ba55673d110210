/**
 * The right of a client to read, for as long as it reads. `onAuthorize` is asked before the first
 * byte, and again when its answer may be outdated: the client has newer credentials, a
 * `reauthorize` names it, or the answer is too old. What is to be sent waits for the answer.
 */

import { decodeHlc, type HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { HookAnswer } from '../../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity, SyncOperation } from '../../hooks/types.ts';
import type { Clients } from './clients.ts';
import { type IdentityPredicate, IdentityPredicates } from './identity-predicates.ts';

interface Answer {
  to: ClientIdentity;
  /** The moment, of `IdentityPredicates`, up to which the answer is known to hold. */
  moment: number;
  atMs: number;
  isGranted: boolean;
}

type AskedHooks = Pick<HookChain, 'has' | 'authorize'>;

/** A client that reads. */
export interface Reader {
  /** Its present identity. Newer credentials make a newer identity. */
  who(): ClientIdentity;
  /**
   * For clients whose credentials are rechecked when the modules are replaced: resolves once the
   * present modules have accepted them. Throws why they refuse them, or why they cannot decide.
   */
  demandCurrent?(): Promise<void>;
}

/** A reader whose credentials are never rechecked. */
export function readerOf(client: ClientIdentity): Reader {
  return { who: () => client };
}

export interface RightsOptions {
  /** How long an answer holds, in milliseconds. */
  maxAgeMs: number;
  /** Wall time in milliseconds. */
  now(): number;
  /** Knows which identities the present hook modules have accepted. */
  clients: Pick<Clients, 'generation' | 'isCurrent'>;
}

/** The state under which something was made ready for a client. */
export interface Stamp {
  identity: ClientIdentity;
  /** Of the hook modules. */
  generation: number;
  /** A hook filters what is sent. */
  isFiltered: boolean;
}

/** A client's right to one operation that takes a while. */
export class ReadRight {
  readonly #rights: Rights;
  readonly #reader: Reader;
  readonly #operation: SyncOperation;
  #answer: Answer | undefined;
  #isLost = false;

  /** @param operation what `onAuthorize` is asked about */
  constructor(rights: Rights, reader: Reader, operation: SyncOperation) {
    this.#rights = rights;
    this.#reader = reader;
    this.#operation = operation;
  }

  /** The same right, as far as it is known now. What it is answered is not noted in this one. */
  apart(): ReadRight {
    const right = new ReadRight(this.#rights, this.#reader, this.#operation);
    right.#answer = this.#answer;
    return right;
  }

  /** What is known now; `unknown` if a hook has to be asked. */
  get state(): 'granted' | 'denied' | 'unknown' {
    if (this.#isOutdated) return 'unknown';
    if (!this.#rights.hooks.has.onAuthorize) return 'granted';
    const answer = this.#answer;
    if (answer === undefined || answer.to !== this.#reader.who()) return 'unknown';
    if (!this.#rights.stillHolds(answer)) return 'unknown';
    return answer.isGranted ? 'granted' : 'denied';
  }

  /** Its credentials have yet to be rechecked by the present hook modules. */
  get #isOutdated(): boolean {
    // Modules are replaced rarely, and this is asked for each listener of a push.
    const { clients } = this.#rights;
    if (clients.generation === 0 || this.#reader.demandCurrent === undefined) return false;
    return !clients.isCurrent(this.#reader.who());
  }

  /** Whether a hook filters what is sent. */
  get isFiltered(): boolean {
    return this.#rights.hooks.has.onBeforeSendChanges;
  }

  /** Whether it was granted before and is now denied. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /**
   * Resolves once the right is granted.
   * @param answers collects the refusals of modules; without it each refusal is a line of the log
   * @throws SyncError NOT_AUTHORIZED, AUTH_EXPIRED, or why the hooks cannot decide
   */
  async confirm(signal?: AbortSignal, origin?: CallOrigin, answers?: HookAnswer[]): Promise<void> {
    // A change of credentials or a `reauthorize` meanwhile makes the state unknown again.
    for (let { state } = this; state !== 'granted'; { state } = this) {
      if (state === 'denied') throw denied();
      await this.ask(this.#operation, signal, origin, answers);
    }
  }

  /** Whether it is granted, asked for the client's sake and not by it: a refusal is not logged. */
  async isGranted(signal?: AbortSignal, origin?: CallOrigin): Promise<boolean> {
    try {
      await this.confirm(signal, origin, []);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * To be taken before something is read for the client, and compared right before that is sent.
   */
  get stamp(): Stamp {
    const { generation } = this.#rights.clients;
    return { identity: this.#reader.who(), generation, isFiltered: this.isFiltered };
  }

  /**
   * Whether the right is granted, and what was made ready under `stamp` is what the client may see
   * now.
   */
  isFor(stamp: Stamp): boolean {
    if (this.state !== 'granted') return false;
    const { identity, generation, isFiltered } = this.stamp;
    // Unfiltered data is right for every client as long as no hook filters.
    if (!stamp.isFiltered) return !isFiltered;
    return stamp.identity === identity && stamp.generation === generation;
  }

  /**
   * Resolves, once the right is granted, to whether what was made ready under `stamp` may be sent.
   * If not, it has to be made again. Throws as `confirm`.
   */
  async holds(stamp: Stamp, signal?: AbortSignal, origin?: CallOrigin): Promise<boolean> {
    await this.confirm(signal, origin);
    return this.isFor(stamp);
  }

  /** Asks the hooks in any case. Throws as `confirm`. */
  async ask(
    operation = this.#operation,
    signal?: AbortSignal,
    origin?: CallOrigin,
    answers?: HookAnswer[],
  ): Promise<void> {
    if (this.#isOutdated) await this.#reader.demandCurrent?.();
    const to = this.#reader.who();
    const { moment, hooks } = this.#rights;
    try {
      if (hooks.has.onAuthorize) await hooks.authorize(to, operation, signal, origin, answers);
    } catch (error) {
      // A failure to decide is no answer, and is not kept.
      if (isDenial(error)) this.#note(to, moment, false);
      throw error;
    }
    this.#note(to, moment, true);
  }

  #note(to: ClientIdentity, moment: number, isGranted: boolean): void {
    this.#isLost = !isGranted && this.#answer?.isGranted === true;
    this.#answer = { to, moment, atMs: this.#rights.nowMs, isGranted };
  }
}

export class Rights {
  readonly hooks: AskedHooks;
  readonly clients: RightsOptions['clients'];
  readonly #options: RightsOptions;
  readonly #doubts = new IdentityPredicates();

  constructor(hooks: AskedHooks, options: RightsOptions) {
    this.hooks = hooks;
    this.clients = options.clients;
    this.#options = options;
  }

  /** Makes the answers for the named clients outdated. */
  doubt(predicate: IdentityPredicate): void {
    this.#doubts.add(predicate);
  }

  get moment(): number {
    return this.#doubts.now;
  }

  get nowMs(): number {
    return this.#options.now();
  }

  /** Whether the answer still holds. Notes in it the moment up to which it does. */
  stillHolds(answer: Answer): boolean {
    // A clock that was set back makes the answer outdated as well.
    if (Math.abs(this.nowMs - answer.atMs) > this.#options.maxAgeMs) return false;
    const { now } = this.#doubts;
    if (answer.moment !== now && this.#doubts.names(answer.to, answer.moment)) return false;
    answer.moment = now;
    return true;
  }

  of(reader: Reader, operation: SyncOperation): ReadRight {
    return new ReadRight(this, reader, operation);
  }

  /**
   * Asks whether a client may do anything other than read changes.
   * @param answers collects the refusals of modules
   * @throws SyncError NOT_AUTHORIZED when it may not, or why the hooks cannot decide
   */
  async demandAny(
    client: ClientIdentity,
    databaseId: string,
    signal: AbortSignal | undefined,
    answers: HookAnswer[],
  ): Promise<void> {
    const operations: SyncOperation[] = [
      { type: 'apply_changes', databaseId, changeCount: 0 },
      { type: 'get_snapshot', databaseId },
    ];
    for (const operation of operations) {
      try {
        return await this.hooks.authorize(client, operation, signal, undefined, answers);
      } catch (error) {
        if (!isDenial(error)) throw error;
      }
    }
    throw denied();
  }
}

/** The operation that `onAuthorize` is asked about for reading changes. */
export function toGetChanges(databaseId: string, sinceHLC?: HlcText): SyncOperation {
  const since = sinceHLC === undefined ? undefined : decodeHlc(sinceHLC);
  return { type: 'get_changes', databaseId, sinceHLC: since };
}

/** Whether a hook has refused; false for failures and for "not now". */
export function isDenial(error: unknown): error is SyncError {
  return error instanceof SyncError && error.code === 'NOT_AUTHORIZED';
}

function denied(): SyncError {
  return new SyncError('NOT_AUTHORIZED', 'not allowed');
}
