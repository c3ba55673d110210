/**
 * The rights of clients to read, for as long as somebody reads: `onAuthorize` is asked before
 * the first byte, and again when what it said may not hold any more: the client has newer credentials,
 * somebody said so, or it is long ago. What is being sent waits for the answer.
 */

import { decodeHlc, type HlcText } from '../clock/hlc.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { HookChain } from '../hooks/chain.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity, SyncOperation } from '../hooks/types.ts';
import { type IdentityPredicate, IdentityPredicates } from './identity-predicates.ts';

interface Answer {
  to: ClientIdentity;
  /** What was asked had been said about clients by then. */
  moment: number;
  atMs: number;
  isGranted: boolean;
}

type AskedHooks = Pick<HookChain, 'has' | 'authorize'>;

/** Whoever reads for a while. */
export interface Reader {
  /** At the moment; newer credentials make a newer identity. */
  who(): ClientIdentity;
  /**
   * For those whose credentials are looked at again when the hooks are others: resolves once the present
   * ones have said that they are good. Throws why they are not, or why nobody could say.
   */
  demandCurrent?(): Promise<void>;
}

/** Whoever it is said to be; by default, who asked. */
export function toReader(
  client: ClientIdentity,
  { who = () => client, demandCurrent }: Partial<Reader>,
): Reader {
  return { who, ...(demandCurrent && { demandCurrent }) };
}

export interface RightsOptions {
  /** How long an answer holds. */
  maxAgeMs: number;
  /** Wall time in milliseconds. */
  now(): number;
  /** Whether the present hook modules have said who it is. */
  isCurrent(identity: ClientIdentity): boolean;
  /** Counts how often the hook modules have been replaced. */
  generation(): number;
}

/** As of when something was made ready for a client. */
export interface Stamp {
  identity: ClientIdentity;
  /** Of the hook modules. */
  generation: number;
  /** Hooks had a say in it. */
  isFiltered: boolean;
}

/** A client's right to something that goes on for a while. */
export class ReadRight {
  readonly #rights: Rights;
  readonly #reader: Reader;
  readonly #operation: SyncOperation;
  #answer: Answer | undefined;
  #isLost = false;

  /** @param operation that is asked about */
  constructor(rights: Rights, reader: Reader, operation: SyncOperation) {
    this.#rights = rights;
    this.#reader = reader;
    this.#operation = operation;
  }

  /** What is known of it at this moment; `unknown` where a hook has to be asked. */
  get state(): 'granted' | 'denied' | 'unknown' {
    if (this.#isOutdated) return 'unknown';
    if (!this.#rights.isAsked) return 'granted';
    const answer = this.#answer;
    if (answer === undefined || answer.to !== this.#reader.who()) return 'unknown';
    if (!this.#rights.stillHolds(answer)) return 'unknown';
    return answer.isGranted ? 'granted' : 'denied';
  }

  /** Its credentials are still to be looked at by the present hook modules. */
  get #isOutdated(): boolean {
    const { who, demandCurrent } = this.#reader;
    return demandCurrent !== undefined && !this.#rights.isCurrent(who());
  }

  /** Whether it has been denied after it had been granted. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /**
   * Resolves once it is granted: at once, if it is.
   * @param answers takes up what the modules say that refuse it; otherwise each refusal is a line of the log
   * @throws SyncError NOT_AUTHORIZED, AUTH_EXPIRED, or why nobody could say
   */
  async confirm(signal?: AbortSignal, origin?: CallOrigin, answers?: HookAnswer[]): Promise<void> {
    // What is said meanwhile makes it unknown again.
    for (let { state } = this; state !== 'granted'; { state } = this) {
      if (state === 'denied') throw denied();
      await this.ask(this.#operation, signal, origin, answers);
    }
  }

  /** To be taken before something is read for the client, and looked at right before that is sent. */
  get stamp(): Stamp {
    const { generation, isFiltered } = this.#rights;
    return { identity: this.#reader.who(), generation, isFiltered };
  }

  /** Whether it is granted, and what was made ready as of `stamp` is what the client may see now. */
  isFor(stamp: Stamp): boolean {
    if (this.state !== 'granted') return false;
    const { identity, generation, isFiltered } = this.stamp;
    // As it is stored it is for all who may see everything.
    if (!stamp.isFiltered) return !isFiltered;
    return stamp.identity === identity && stamp.generation === generation;
  }

  /**
   * Resolves once it is granted: whether what was made ready as of `stamp` may be sent. If not, it
   * is to be made anew. Throws as `confirm`.
   */
  async holds(stamp: Stamp, signal?: AbortSignal, origin?: CallOrigin): Promise<boolean> {
    await this.confirm(signal, origin);
    return this.isFor(stamp);
  }

  /** Asks, whatever is known. Throws as `confirm`. */
  async ask(
    operation = this.#operation,
    signal?: AbortSignal,
    origin?: CallOrigin,
    answers?: HookAnswer[],
  ): Promise<void> {
    if (this.#isOutdated) await this.#reader.demandCurrent?.();
    const to = this.#reader.who();
    const { moment } = this.#rights;
    try {
      await this.#rights.ask(to, operation, signal, origin, answers);
    } catch (error) {
      // Of why nobody could say nothing is kept.
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
  readonly #hooks: AskedHooks;
  readonly #options: RightsOptions;
  readonly #doubts = new IdentityPredicates();

  constructor(hooks: AskedHooks, options: RightsOptions) {
    this.#hooks = hooks;
    this.#options = options;
  }

  /** What is known of those that are named must be asked anew. */
  doubt(predicate: IdentityPredicate): void {
    this.#doubts.add(predicate);
  }

  /** Whether there is a hook to ask. */
  get isAsked(): boolean {
    return this.#hooks.has.onAuthorize;
  }

  get moment(): number {
    return this.#doubts.now;
  }

  get generation(): number {
    return this.#options.generation();
  }

  /** Whether hooks have a say in what is sent. */
  get isFiltered(): boolean {
    return this.#hooks.has.onBeforeSendChanges;
  }

  isCurrent(identity: ClientIdentity): boolean {
    return this.#options.isCurrent(identity);
  }

  get nowMs(): number {
    return this.#options.now();
  }

  /** Notes down in `answer` that it has been looked at. */
  stillHolds(answer: Answer): boolean {
    // A clock that was set back makes it old, too.
    if (Math.abs(this.nowMs - answer.atMs) > this.#options.maxAgeMs) return false;
    const { now } = this.#doubts;
    if (answer.moment !== now && this.#doubts.names(answer.to, answer.moment)) return false;
    answer.moment = now;
    return true;
  }

  ask(
    client: ClientIdentity,
    operation: SyncOperation,
    signal?: AbortSignal,
    origin?: CallOrigin,
    answers?: HookAnswer[],
  ): Promise<void> {
    return this.#hooks.authorize(client, operation, signal, origin, answers);
  }

  of(reader: Reader, operation: SyncOperation): ReadRight {
    return new ReadRight(this, reader, operation);
  }

  /**
   * Asks whether a client may do anything at all, other than reading changes.
   * @param answers takes up what the modules say that refuse it
   * @throws SyncError NOT_AUTHORIZED when it may not, or why nobody could say
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
        return await this.ask(client, operation, signal, undefined, answers);
      } catch (error) {
        if (!isDenial(error)) throw error;
      }
    }
    throw denied();
  }
}

/** What is asked about whoever reads changes. */
export function toGetChanges(databaseId: string, sinceHLC?: HlcText): SyncOperation {
  const since = sinceHLC === undefined ? undefined : decodeHlc(sinceHLC);
  return { type: 'get_changes', databaseId, sinceHLC: since };
}

/** Whether a hook has said no; not that nobody could say, or not now. */
export function isDenial(error: unknown): error is SyncError {
  return error instanceof SyncError && error.code === 'NOT_AUTHORIZED';
}

function denied(): SyncError {
  return new SyncError('NOT_AUTHORIZED', 'not allowed');
}
